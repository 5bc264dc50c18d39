import type { Conversations } from '@headwater/client/conversations'
import { useSyncExternalStore } from 'react'
import { useWords } from '../words/words'
import { CloseIcon } from './icons'

interface ToastProps {
  readonly conversations: Conversations
  readonly restore: (chat: string) => void
  /** What an import or a panel has to say; null for nothing. */
  readonly said: string | null
  readonly unsay: () => void
}

/** What was deleted and can be undone, and what else is worth a word. */
export function Toast({ conversations, restore, said, unsay }: ToastProps) {
  const { shell: words } = useWords()
  const { removed } = useSyncExternalStore(conversations.subscribe, conversations.getSnapshot)
  const last = removed.at(-1)
  return (
    <div className="toasts" role="status">
      {last && (
        <p className="toast" data-testid="undo-toast">
          <span dir="auto">{words.removed(last.title || words.untitled)}</span>
          <button type="button" className="quiet" data-testid="undo" onClick={() => restore(last.id)}>
            {words.undo}
          </button>
        </p>
      )}
      {said !== null && (
        <p className="toast" data-testid="toast">
          <span dir="auto">{said}</span>
          <button type="button" className="quiet" aria-label={words.close} title={words.close} onClick={unsay}>
            <CloseIcon />
          </button>
        </p>
      )}
    </div>
  )
}
