import type { About } from '@headwater/client'
import type { Conversation, ConversationSnapshot, Conversations, QuestionFile } from '@headwater/client/conversations'
import { useEffect, useLayoutEffect, useRef, useState, type KeyboardEvent } from 'react'
import { SendIcon, StopIcon } from '../../shell/icons'
import { useWords } from '../../words/words'
import { AttachIcon } from '../icons'
import { entersLine } from './enter'
import { FileChips } from './file-chips'
import { Queue } from './queue'
import { acceptedTypes, limitsOf, useFiles } from './use-files'

interface ComposerProps {
  readonly conversation: Conversation
  readonly conversations: Conversations
  readonly about: About | null
  readonly snapshot: Pick<ConversationSnapshot, 'busy' | 'queue' | 'connection' | 'settings' | 'turns'>
  readonly stopping: boolean
  /** Asks, or interrupts the running answer to ask; false when there is nothing to ask. */
  readonly ask: (text: string, files: readonly QuestionFile[], now: boolean) => boolean
  readonly stop: () => void
  readonly editLast: () => void
}

/** Where a question is written, with its files, and the questions that wait to be sent. */
export function Composer({ conversation, conversations, about, snapshot, stopping, ask, stop, editLast }: ComposerProps) {
  const { chat } = useWords()
  const { busy, queue, connection, settings } = snapshot
  const [text, setText] = useState(() => conversations.draft(conversation.id))
  const limits = limitsOf(about, settings.model)
  const files = useFiles(limits)
  const field = useRef<HTMLTextAreaElement>(null)
  const picker = useRef<HTMLInputElement>(null)
  useLayoutEffect(() => {
    const box = field.current
    if (!box) return
    box.style.height = 'auto'
    box.style.height = `${box.scrollHeight}px`
  }, [text])

  const write = (text: string) => {
    setText(text)
    conversations.keepDraft(conversation.id, text)
  }
  // What was sent while files were being read, and whether it is to interrupt: it goes with them.
  const [due, setDue] = useState<boolean | null>(null)
  const submit = (now: boolean) => {
    if (files.reading) return setDue(now)
    if (!ask(text, files.all, now)) return
    write('')
    files.clear()
    field.current?.focus()
  }
  useEffect(() => {
    if (due === null || files.reading) return
    setDue(null)
    if (files.refused.length === 0) submit(due)
  })
  const takeBack = (id: string) => {
    const queued = conversation.unqueue(id)
    if (queued) {
      // What is being written stays, below what comes back.
      write([queued.text, text].filter((part) => part.trim() !== '').join('\n\n'))
      files.put(queued.files)
    }
    field.current?.focus()
  }
  const onKeyDown = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.key === 'Enter' && !entersLine(event)) {
      event.preventDefault()
      submit(busy && (event.ctrlKey || event.metaKey))
    } else if (event.key === 'ArrowUp' && text === '' && files.all.length === 0 && !event.altKey && !event.shiftKey) {
      const waiting = queue.at(-1)
      event.preventDefault()
      if (waiting) takeBack(waiting.id)
      else editLast()
    }
  }
  const empty = text.trim() === '' && files.all.length === 0 && !files.reading
  return (
    <>
      {queue.length > 0 && (
        <Queue
          queue={queue}
          away={connection.state !== 'live'}
          edit={takeBack}
          remove={(id) => {
            conversation.unqueue(id)
            field.current?.focus()
          }}
          // What waits for the connection has no answer to interrupt.
          sendNow={busy ? conversation.sendNow : null}
        />
      )}
      <form
        className="composer"
        data-dropping={files.dropping || undefined}
        onSubmit={(event) => {
          event.preventDefault()
          submit(false)
        }}
      >
        <FileChips files={files} limits={limits} focusBox={() => field.current?.focus()} />
        <textarea
          ref={field}
          id="ask"
          data-testid="composer"
          aria-label={chat.yourQuestion}
          placeholder={busy ? chat.placeholderBusy : chat.placeholder}
          rows={1}
          autoFocus
          dir="auto"
          value={text}
          onChange={(event) => write(event.target.value)}
          onKeyDown={onKeyDown}
          onPaste={(event) => {
            const pasted = [...event.clipboardData.files]
            // A table copied from a spreadsheet comes as a picture of itself, too: the text is meant.
            if (pasted.length === 0 || event.clipboardData.getData('text/plain') !== '') return
            event.preventDefault()
            files.add(pasted)
          }}
        />
        <div className="composer-row">
          <button
            type="button"
            className="round plain-round"
            data-testid="attach"
            aria-label={chat.attach}
            title={limits.images ? chat.attachTitle : chat.attachTextTitle}
            onClick={() => picker.current?.click()}
          >
            <AttachIcon />
          </button>
          <input
            ref={picker}
            type="file"
            multiple
            hidden
            data-testid="file-picker"
            accept={acceptedTypes(limits.images)}
            onChange={(event) => {
              files.add([...(event.target.files ?? [])])
              // The same file may be chosen again.
              event.target.value = ''
              field.current?.focus()
            }}
          />
          <span className="composer-buttons">
            {busy && (
              <button
                type="button"
                className="round stop"
                data-testid="stop"
                aria-label={chat.stop}
                title={chat.stopTitle}
                aria-disabled={stopping}
                onClick={() => !stopping && stop()}
              >
                <StopIcon />
              </button>
            )}
            {!(busy && empty) && (
              <button
                type="submit"
                className="round"
                data-testid="send"
                aria-label={busy ? chat.sendQueued : chat.send}
                title={busy ? chat.sendQueuedTitle : chat.sendTitle}
                disabled={empty}
              >
                <SendIcon />
              </button>
            )}
          </span>
        </div>
      </form>
      <p className="hint">{busy ? chat.hintBusy : chat.hint}</p>
    </>
  )
}
