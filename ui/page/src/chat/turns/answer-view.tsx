import type { ConversationAnswer } from '@headwater/client/conversations'
import { memo, useId, useState } from 'react'
import { Markdown } from '../../markdown/markdown'
import { AgainIcon } from '../../shell/icons'
import { part } from '../../shell/part'
import { useWords, type Words } from '../../words/words'
import { CopyButton } from '../copy-button'
import { FactsBadge } from '../facts/facts-badge'
import { BranchPicker, type BranchProps } from './branch-picker'
import { FailureNote } from './failure-note'
import { Reasoning, Tools } from './thinking'
import type { TurnActions } from './turn-list'

const FactsPanel = part(() => import('../facts/facts-panel'))

interface AnswerViewProps {
  readonly answer: ConversationAnswer
  readonly place: number
  readonly all: number
  readonly branch: BranchProps | null
  /** Only the newest answer can be read on or continued. */
  readonly last: boolean
  /** Another answer is being written, so nothing can be asked now. */
  readonly busy: boolean
  readonly readOnly: boolean
  readonly actions: TurnActions
}

/** One answer, in whatever state it is. */
export const AnswerView = memo(function AnswerView({ answer, place, all, branch, last, busy, readOnly, actions }: AnswerViewProps) {
  const { chat, shell } = useWords()
  const [facts, setFacts] = useState<'open' | 'failed' | null>(null)
  const panel = useId()
  const { id, status, message, failure } = answer
  const streaming = status === 'streaming'
  const remark = remarkOf(answer, chat)
  const dropped = droppedOf(answer)
  const cut = message.ending?.type === 'finish' && message.ending.reason === 'length'
  return (
    <article
      className="answer"
      data-turn={id}
      data-testid="message-assistant"
      data-state={status}
      tabIndex={-1}
      aria-posinset={place}
      aria-setsize={all}
      aria-label={chat.answer}
    >
      {streaming && <i className="flow" style={{ backgroundPositionY: `${(message.text.length + message.reasoning.length) / 4}px` }} />}
      <div className="prose" aria-busy={streaming}>
        {message.reasoning !== '' && <Reasoning text={message.reasoning} live={streaming && message.text === ''} timing={answer.timing ?? null} />}
        {message.tools.length > 0 && <Tools tools={message.tools} />}
        {message.text !== '' && <Markdown text={message.text} growing={streaming} seams={message.continued} />}
        {streaming && message.text === '' && <Waiting words={chat.waiting} />}
      </div>
      {streaming && answer.reconnecting && (
        <p className="notice" data-testid="connection">
          {chat.reconnecting}
        </p>
      )}
      {remark && (
        <p className="notice" data-testid="remark">
          {remark}
        </p>
      )}
      {cut && last && !busy && !readOnly && (
        <button type="button" className="plain go-on" data-testid="continue" onClick={actions.goOn}>
          {chat.goOn}
        </button>
      )}
      {dropped > 0 && <p className="notice">{chat.fitted(dropped)}</p>}
      {failure && <FailureNote failure={failure} waits={streaming} retry={last && !busy && !readOnly ? actions.retry : null} />}
      <footer className="answer-footer">
        {branch && <BranchPicker {...branch} choose={actions.choose} />}
        <FactsBadge answer={answer} open={facts !== null} panel={panel} toggle={() => setFacts(facts ? null : 'open')} />
        {!streaming && (
          <span className="answer-actions">
            {message.text !== '' && <CopyButton label={chat.copyAnswer} text={() => message.text} />}
            {!readOnly && !busy && !(failure && last) && (
              <button type="button" className="quiet" data-testid="regenerate" title={chat.regenerateTitle} onClick={() => actions.regenerate(id)}>
                <AgainIcon />
                <span>{chat.regenerate}</span>
              </button>
            )}
          </span>
        )}
      </footer>
      {facts && (
        <div id={panel}>
          {facts === 'failed' ? (
            <p className="notice" role="alert">
              {shell.panelFailed}
            </p>
          ) : (
            <FactsPanel answer={answer} keys={actions.keys} close={() => setFacts(null)} onFailure={() => setFacts('failed')} />
          )}
        </div>
      )}
    </article>
  )
})

function Waiting({ words }: { words: string }) {
  return (
    <p className="waiting">
      <span className="visually-hidden">{words}</span>
      <i />
      <i />
      <i />
    </p>
  )
}

/** The note under an answer that is not complete. */
function remarkOf({ status, message: { ending, text } }: ConversationAnswer, chat: Words['chat']): string | null {
  if (status === 'stopped') return text === '' ? chat.stoppedEmpty : chat.stopped
  if (ending?.type !== 'finish') return null
  if (ending.reason === 'length') return chat.cutByLength
  if (ending.reason === 'content_filter') return chat.cutByFilter
  return text === '' && ending.reason === 'stop' ? chat.empty : null
}

/** How many old messages were left out, since the model could not read them all. */
function droppedOf({ message: { metadata } }: ConversationAnswer): number {
  const { fitted } = metadata
  return typeof fitted === 'object' && fitted !== null && 'dropped' in fitted && typeof fitted.dropped === 'number' ? fitted.dropped : 0
}
