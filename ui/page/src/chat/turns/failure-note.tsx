import type { Failure } from '@headwater/client'
import { useEffect, useMemo, useState } from 'react'
import { AgainIcon } from '../../shell/icons'
import { useFormats } from '../../words/formats'
import { useWords } from '../../words/words'
import { problemWords } from '../problem'

interface FailureNoteProps {
  readonly failure: Failure
  /** The page tries again by itself. */
  readonly waits?: boolean
  /** Tries again; null where nothing can be tried. */
  readonly retry: (() => void) | null
}

/** Why there is no answer, or only a part: in plain words, with the server's own folded below. */
export function FailureNote({ failure, waits = false, retry }: FailureNoteProps) {
  const words = useWords()
  const left = useCountdown(failure)
  const { duration } = useFormats()
  const { chat, shell } = words
  return (
    <div className="failure" data-testid="error">
      <div className="failure-words">
        <p>{problemWords(failure.code, words)}</p>
        <details>
          <summary>{chat.details}</summary>
          <p dir="auto">{failure.message}</p>
        </details>
      </div>
      {waits && left > 0 && <span>{shell.retryIn(duration(left))}</span>}
      {retry && (
        // Still focusable while it counts, so that whoever is there stays there.
        <button type="button" data-testid="retry" aria-disabled={left > 0} onClick={() => left === 0 && retry()}>
          <AgainIcon />
          {left > 0 ? chat.retryIn(left) : chat.retry}
        </button>
      )}
    </div>
  )
}

/** The seconds until the server wants to be asked again, counted from when this was first shown. */
function useCountdown(failure: Failure): number {
  const until = useMemo(() => Date.now() + (failure.retryAfter ?? 0) * 1000, [failure])
  const [now, setNow] = useState(Date.now)
  const left = Math.max(0, Math.ceil((until - now) / 1000))
  useEffect(() => {
    if (left === 0) return
    const timer = setTimeout(() => setNow(Date.now()), 250)
    return () => clearTimeout(timer)
  }, [left, now])
  return left
}
