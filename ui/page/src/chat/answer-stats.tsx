import type { Answer } from '@headwater/client'
import { useEffect, useState } from 'react'
import { CacheIcon } from '../shell/icons'

/** The badge of an answer that came from the cache: an old answer must not pass for a new one. */
export function CachedBadge({ producedAt }: { producedAt: number }) {
  const now = useMinuteClock()
  return (
    <span className="badge" data-testid="cached-badge" title={`Produced ${new Date(producedAt).toLocaleString()}`}>
      <CacheIcon />
      cached · {ago(now - producedAt)}
    </span>
  )
}

/** The server's own figures for the run that wrote this answer. */
export function AnswerStats({ answer }: { answer: Answer }) {
  const words = statsOf(answer)
  if (words.length === 0) return null
  return (
    <span className="stats" data-testid="stats">
      {answer.cache === 'hit' && 'original run: '}
      {answer.cache === 'collapsed' && 'shared run: '}
      {words.join(' · ')}
    </span>
  )
}

/** How long it took to the first token, how fast the rest came, how much there was. */
export function statsOf({ timing, message }: Pick<Answer, 'timing' | 'message'>): string[] {
  const words: string[] = []
  const tokens = message.usage?.output_tokens ?? null
  if (timing?.first_token != null) words.push(`${seconds(timing.first_token)} to first token`)
  if (timing?.first_token != null && timing.duration != null && tokens !== null) {
    const spent = timing.duration - timing.first_token
    // One burst has no rate worth the name.
    if (tokens > 1 && spent > 0.005) words.push(`${rate(tokens / spent)} tokens/s`)
  }
  if (tokens) words.push(`${tokens} token${tokens === 1 ? '' : 's'}`)
  return words
}

/** How long ago, in the words of a person. */
export function ago(milliseconds: number): string {
  const minutes = Math.floor(milliseconds / 60_000)
  if (minutes < 1) return 'just now'
  if (minutes < 60) return `${minutes} min ago`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours} h ago` : `${Math.floor(hours / 24)} days ago`
}

function seconds(value: number): string {
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`
}

function rate(value: number): string {
  return value < 10 ? value.toFixed(1) : String(Math.round(value))
}

function useMinuteClock(): number {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 30_000)
    return () => clearInterval(timer)
  }, [])
  return now
}
