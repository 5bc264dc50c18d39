import type { ConversationAnswer } from '@headwater/client/conversations'
import { useEffect, useState } from 'react'
import { CacheIcon } from '../../shell/icons'
import { useWords } from '../../words/words'
import { FactsIcon } from '../icons'

interface FactsBadgeProps {
  readonly answer: ConversationAnswer
  readonly open: boolean
  /** The id of what it opens. */
  readonly panel: string
  readonly toggle: () => void
}

/** The one quiet word on where an answer came from; it opens the facts. An old answer must not pass for a new one. */
export function FactsBadge({ answer, open, panel, toggle }: FactsBadgeProps) {
  const { chat } = useWords()
  const { status, cache, producedAt, message } = answer
  const hit = cache === 'hit'
  const now = useMinuteClock(hit)
  const word = hit
    ? [chat.cached, producedAt != null && chat.ago(now - producedAt)].filter(Boolean).join(' · ')
    : status === 'streaming'
      ? chat.live
      : cache === 'collapsed'
        ? chat.joined
        : message.continued.length > 0
          ? chat.continued
          : null
  return (
    <button
      type="button"
      className={word === null ? 'quiet icon-only' : 'badge'}
      data-testid="facts"
      title={chat.facts}
      aria-label={word === null ? chat.facts : undefined}
      aria-expanded={open}
      aria-controls={open ? panel : undefined}
      onClick={toggle}
    >
      {hit ? <CacheIcon /> : word === null && <FactsIcon />}
      {word !== null && <span data-testid={hit ? 'cached-badge' : undefined}>{word}</span>}
    </button>
  )
}

function useMinuteClock(running: boolean): number {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    if (!running) return
    const timer = setInterval(() => setNow(Date.now()), 30_000)
    return () => clearInterval(timer)
  }, [running])
  return now
}
