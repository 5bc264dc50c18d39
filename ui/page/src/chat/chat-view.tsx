import type { About } from '@headwater/client'
import type { Conversation, Conversations } from '@headwater/client/conversations'
import { useRef, useSyncExternalStore } from 'react'
import { EmptyState } from '../shell/empty-state'
import { DownIcon } from '../shell/icons'
import { Announcer } from './announcer'
import { Composer } from './composer'
import { Transcript } from './transcript'
import { useFollow } from './use-follow'

export interface ChatViewProps {
  readonly conversation: Conversation
  readonly conversations: Conversations
  readonly about: About | null
  /** A shared conversation: nothing to ask, stop or change. */
  readonly readOnly?: boolean
}

/** One conversation: its turns, and the box that asks. The shell gives it a new `key` for each conversation. */
export function ChatView({ conversation, readOnly = false }: ChatViewProps) {
  const { turns, busy } = useSyncExternalStore(conversation.subscribe, conversation.getSnapshot)
  const content = useRef<HTMLElement>(null)
  const { away, toLatest } = useFollow(content)
  const last = turns.at(-1)
  const answer = last?.role === 'assistant' ? last : undefined
  const ask = (text: string) => {
    const sent = conversation.send(text)
    if (sent) toLatest()
    return sent
  }
  return (
    <>
      <main ref={content}>
        {turns.length === 0 && !readOnly ? (
          <EmptyState onAsk={ask} />
        ) : (
          <Transcript turns={turns} regenerate={() => answer && conversation.regenerate(answer.id)} retry={conversation.retry} />
        )}
      </main>
      {!readOnly && (
        <section className="dock" aria-label="Ask">
          {away && (
            <button type="button" className="round jump" aria-label="Jump to latest" title="Jump to latest" onClick={toLatest}>
              <DownIcon />
            </button>
          )}
          <Composer busy={busy} stopping={answer?.stopping ?? false} send={ask} stop={conversation.stop} />
          <p className="hint">Enter sends · Shift+Enter new line · Esc stops</p>
        </section>
      )}
      <Announcer answer={answer} />
    </>
  )
}
