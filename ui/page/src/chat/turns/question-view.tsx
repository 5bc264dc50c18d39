import type { ConversationQuestion, QuestionFile } from '@headwater/client/conversations'
import { memo, useLayoutEffect, useRef, useState, type KeyboardEvent } from 'react'
import { useWords } from '../../words/words'
import { CopyButton } from '../copy-button'
import { entersLine } from '../ask/enter'
import { EditIcon } from '../icons'
import { BranchPicker, type BranchProps } from './branch-picker'
import type { TurnActions } from './turn-list'

interface QuestionViewProps {
  readonly question: ConversationQuestion
  readonly place: number
  readonly all: number
  readonly branch: BranchProps | null
  readonly editing: boolean
  readonly readOnly: boolean
  readonly actions: TurnActions
}

/** What the person asked, with its files; it can be asked in other words where it stands. */
export const QuestionView = memo(function QuestionView({ question, place, all, branch, editing, readOnly, actions }: QuestionViewProps) {
  const { chat } = useWords()
  const { id, text, files, kind } = question
  return (
    <article className="question" data-turn={id} data-testid="message-user" data-kind={kind} tabIndex={-1} aria-posinset={place} aria-setsize={all} aria-label={chat.question}>
      {kind === 'continue' ? (
        <p className="asked-for-rest">{chat.continuedQuestion}</p>
      ) : editing ? (
        <QuestionEditor question={question} actions={actions} />
      ) : (
        <>
          {files.length > 0 && (
            <ul className="question-files" aria-label={chat.attached}>
              {files.map((file, index) => (
                <QuestionFileView key={file.id ?? index} file={file} actions={actions} />
              ))}
            </ul>
          )}
          {text !== '' && (
            <div className="bubble" dir="auto">
              {text}
            </div>
          )}
          <div className="question-actions">
            {branch && <BranchPicker {...branch} choose={actions.choose} />}
            {text !== '' && <CopyButton label={chat.copyQuestion} text={() => text} />}
            {!readOnly && (
              <button type="button" className="quiet" data-testid="edit" aria-label={chat.editQuestion} title={chat.editQuestion} onClick={() => actions.edit(id)}>
                <EditIcon />
                <span>{chat.edit}</span>
              </button>
            )}
          </div>
        </>
      )}
    </article>
  )
})

function QuestionFileView({ file, actions }: { file: QuestionFile; actions: TurnActions }) {
  const address = file.id ? actions.fileAddress(file.id) : file.data && `data:${file.type};base64,${file.data}`
  if (!address) return <li className="file-name">{file.name}</li>
  return (
    <li>
      {file.type.startsWith('image/') ? (
        <a href={address} target="_blank" rel="noopener">
          <img src={address} alt={file.name} loading="lazy" />
        </a>
      ) : (
        <a className="file-name" href={address} download={file.name}>
          {file.name}
        </a>
      )}
    </li>
  )
}

function QuestionEditor({ question, actions }: { question: ConversationQuestion; actions: TurnActions }) {
  const { chat } = useWords()
  const [text, setText] = useState(question.text)
  const field = useRef<HTMLTextAreaElement>(null)
  useLayoutEffect(() => {
    const box = field.current!
    box.focus()
    box.setSelectionRange(box.value.length, box.value.length)
  }, [])
  useLayoutEffect(() => {
    const box = field.current!
    box.style.height = 'auto'
    box.style.height = `${box.scrollHeight}px`
  }, [text])
  const submit = () => text.trim() !== '' && actions.ask(question.id, text)
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Escape' && !event.nativeEvent.isComposing) {
      // Not for the answer that may be running.
      event.preventDefault()
      actions.edit(null)
    } else if (event.key === 'Enter' && !entersLine(event)) {
      event.preventDefault()
      submit()
    }
  }
  return (
    <form
      className="question-editor"
      onSubmit={(event) => {
        event.preventDefault()
        submit()
      }}
    >
      <textarea
        ref={field}
        data-testid="edit-box"
        aria-label={chat.editQuestion}
        aria-describedby={`${question.id}-note`}
        dir="auto"
        rows={1}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
      />
      <p id={`${question.id}-note`}>{chat.editNote}</p>
      <div className="editor-actions">
        <button type="button" className="plain" data-testid="edit-cancel" onClick={() => actions.edit(null)}>
          {chat.editCancel}
        </button>
        <button type="submit" className="plain primary" data-testid="edit-send" aria-disabled={text.trim() === ''}>
          {chat.editSend}
        </button>
      </div>
    </form>
  )
}
