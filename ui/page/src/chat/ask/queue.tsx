import type { QueuedQuestion } from '@headwater/client/conversations'
import { useWords } from '../../words/words'
import { EditIcon, NowIcon, RemoveIcon } from '../icons'

interface QueueProps {
  readonly queue: readonly QueuedQuestion[]
  /** The server cannot be reached. */
  readonly away: boolean
  readonly edit: (id: string) => void
  readonly remove: (id: string) => void
  readonly sendNow: ((id: string) => void) | null
}

/** The questions that are kept until the answer is done, or the server is back. */
export function Queue({ queue, away, edit, remove, sendNow }: QueueProps) {
  const { chat } = useWords()
  const title = away ? chat.queueOffline : chat.queue
  return (
    <section className="queue" aria-label={title} data-testid="queue">
      <p>{title}</p>
      <ul>
        {queue.map(({ id, text, files }) => (
          <li key={id}>
            <span className="queue-text" dir="auto">
              {[text.trim(), files.length > 0 && chat.files(files.length)].filter(Boolean).join(' · ')}
            </span>
            {sendNow && (
              <button type="button" className="quiet" title={chat.queueNowTitle} onClick={() => sendNow(id)}>
                <NowIcon />
                <span>{chat.queueNow}</span>
              </button>
            )}
            <button type="button" className="quiet icon-only" aria-label={chat.queueEdit} title={chat.queueEdit} onClick={() => edit(id)}>
              <EditIcon />
            </button>
            <button type="button" className="quiet icon-only" aria-label={chat.queueRemove} title={chat.queueRemove} onClick={() => remove(id)}>
              <RemoveIcon />
            </button>
          </li>
        ))}
      </ul>
    </section>
  )
}
