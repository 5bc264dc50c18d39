import type { About, Answer, ChatStore, Transport } from '@headwater/client'
import { useChat } from '@headwater/react'
import { useEffect, useRef, useState } from 'react'
import { Announcer } from './chat/announcer'
import { Composer } from './chat/composer'
import { Transcript } from './chat/transcript'
import { useFollow } from './chat/use-follow'
import { EmptyState } from './shell/empty-state'
import { DemoBanner, Header, ProblemBanner } from './shell/header'
import { DownIcon } from './shell/icons'

/** The page: one chat with one server. */
export function App({ store, transport }: { store: ChatStore; transport: Transport }) {
  const chat = useChat(store)
  const content = useRef<HTMLElement>(null)
  const { away, toLatest } = useFollow(content)
  const last = chat.turns.at(-1)
  const answer = last?.role === 'assistant' ? last : undefined
  const about = useAbout(transport, answer?.status)
  const ask = (text: string) => {
    const sent = chat.send(text)
    if (sent) toLatest()
    return sent
  }
  useEscape(chat.busy, chat.stop)
  return (
    <div className="page">
      <Header about={about} empty={chat.turns.length === 0} onNewChat={chat.clear} />
      {about?.problem && <ProblemBanner problem={about.problem} />}
      {about?.demo && <DemoBanner about={about} />}
      <main ref={content}>
        {chat.turns.length === 0 ? (
          <EmptyState onAsk={ask} />
        ) : (
          <Transcript turns={chat.turns} regenerate={chat.regenerate} retry={chat.retry} />
        )}
      </main>
      <section className="dock" aria-label="Ask">
        {away && (
          <button type="button" className="round jump" aria-label="Jump to latest" title="Jump to latest" onClick={toLatest}>
            <DownIcon />
          </button>
        )}
        {/* A new chat begins with an empty composer that has the focus. */}
        <Composer key={chat.id} busy={chat.busy} stopping={answer?.stopping ?? false} send={ask} stop={chat.stop} />
        <p className="hint">Enter sends · Shift+Enter new line · Esc stops</p>
      </section>
      <Announcer answer={answer} />
    </div>
  )
}

/**
 * A server that cannot say who it is can still answer, so a failure here only leaves the header bare.
 * Asked again when an answer fails: the server may say why, and what to do.
 */
function useAbout(transport: Transport, status: Answer['status'] | undefined): About | null {
  const [about, setAbout] = useState<About | null>(null)
  const failed = status === 'failed'
  useEffect(() => {
    transport.get<About>('api/about').then(setAbout, () => setAbout(null))
  }, [transport, failed])
  return about
}

function useEscape(active: boolean, act: () => unknown): void {
  useEffect(() => {
    if (!active) return
    const onKey = (event: KeyboardEvent) => event.key === 'Escape' && !event.isComposing && void act()
    window.addEventListener('keydown', onKey)
    return () => window.removeEventListener('keydown', onKey)
  }, [active, act])
}
