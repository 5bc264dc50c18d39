import type { Failure } from '@headwater/client'
import { useMemo } from 'react'
import { AgainIcon } from '../../shell/icons'
import { useSecondsLeft } from '../../shell/use-seconds-left'
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
  // Counted from when this was first shown.
  const until = useMemo(() => failure.retryAfter && Date.now() + failure.retryAfter * 1000, [failure])
  const left = useSecondsLeft(until)
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
