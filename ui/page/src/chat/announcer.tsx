import type { Answer } from '@headwater/client'
import { useEffect, useRef, useState } from 'react'

/** Announces to a screen reader that an answer began, and then the whole of it once, instead of every token. */
export function Announcer({ answer }: { answer: Answer | undefined }) {
  const [words, setWords] = useState('')
  const watched = useRef<string | null>(null)
  const id = answer?.id ?? null
  const status = answer?.status
  const text = answer?.message.text ?? ''
  const trouble = answer?.failure?.message ?? ''
  useEffect(() => {
    if (status === 'streaming') {
      watched.current = id
      setWords('Answering')
    } else if (watched.current !== null && watched.current === id) {
      watched.current = null
      setWords([text, status === 'stopped' ? 'Stopped.' : trouble].filter(Boolean).join(' '))
    }
    // The text is read when the status changes, never because it grew.
  }, [id, status]) // eslint-disable-line react-hooks/exhaustive-deps
  return (
    <div className="visually-hidden" role="status" aria-live="polite">
      {words}
    </div>
  )
}
