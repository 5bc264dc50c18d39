import type { Answer } from '@headwater/client'
import type { Chat } from '@headwater/react'
import { memo } from 'react'
import { Markdown } from '../markdown/markdown'
import { AgainIcon } from '../shell/icons'
import { AnswerStats, CachedBadge } from './answer-stats'
import { CopyButton } from './copy-button'
import { Reasoning, Tools } from './thinking'

interface AnswerViewProps extends Pick<Chat, 'regenerate' | 'retry'> {
  readonly answer: Answer
  /** Only the newest answer can be generated again. */
  readonly last: boolean
}

/** One answer, in whatever state it is. */
export const AnswerView = memo(function AnswerView({ answer, last, regenerate, retry }: AnswerViewProps) {
  const { status, message, failure } = answer
  const streaming = status === 'streaming'
  const remark = remarkOf(answer)
  const fitting = fittingOf(answer)
  return (
    <article className="answer" data-testid="message-assistant" data-state={status} aria-label="Answer">
      <div className="prose" aria-busy={streaming}>
        {message.reasoning !== '' && <Reasoning text={message.reasoning} live={streaming && message.text === ''} />}
        {message.tools.length > 0 && <Tools tools={message.tools} />}
        {message.text !== '' && <Markdown text={message.text} growing={streaming} seams={message.continued} />}
        {streaming && message.text === '' && <Waiting />}
      </div>
      {streaming && answer.reconnecting && (
        <p className="notice" data-testid="connection">
          Connection lost. Reconnecting; the answer will continue where it stopped.
        </p>
      )}
      {remark && <p className="notice">{remark}</p>}
      {fitting && <p className="notice">{fitting}</p>}
      {failure && (
        <div className="failure" data-testid="error">
          <p>
            {failure.message}
            {failure.retryAfter !== null && ` The server asks to wait ${Math.ceil(failure.retryAfter)} s.`}
          </p>
          {last && (
            <button type="button" data-testid="retry" onClick={retry}>
              <AgainIcon />
              Retry
            </button>
          )}
        </div>
      )}
      {!streaming && (message.text !== '' || !failure) && (
        <footer className="answer-footer">
          {answer.producedAt != null && <CachedBadge producedAt={answer.producedAt} />}
          <AnswerStats answer={answer} />
          <span className="answer-actions">
            {message.text !== '' && <CopyButton label="Copy answer" text={() => message.text} />}
            {last && !failure && (
              <button type="button" className="quiet" data-testid="regenerate" title="Ask the model again, bypassing the cache" onClick={regenerate}>
                <AgainIcon />
                <span>Regenerate</span>
              </button>
            )}
          </span>
        </footer>
      )}
    </article>
  )
})

function Waiting() {
  return (
    <p className="waiting">
      <span className="visually-hidden">Waiting for the first words</span>
      <i />
      <i />
      <i />
    </p>
  )
}

/** The note under an answer that is not complete. */
function remarkOf({ status, message: { ending, text } }: Answer): string | null {
  if (status === 'stopped') return text === '' ? 'Stopped before the first word.' : 'Stopped.'
  if (ending?.type !== 'finish') return null
  if (ending.reason === 'length') return 'Cut off: the model reached its length limit.'
  if (ending.reason === 'content_filter') return 'Cut off by the provider’s content filter.'
  return text === '' && ending.reason === 'stop' ? 'The model returned an empty answer.' : null
}

/** The note under an answer to a shortened conversation. */
function fittingOf({ message: { metadata } }: Answer): string | null {
  const { fitted } = metadata
  if (typeof fitted !== 'object' || fitted === null || !('dropped' in fitted) || typeof fitted.dropped !== 'number') return null
  const messages = fitted.dropped === 1 ? 'oldest message was' : `${fitted.dropped} oldest messages were`
  return `The conversation is longer than this model can read: the ${messages} left out.`
}
