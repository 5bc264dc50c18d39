import type { ConversationAnswer } from '@headwater/client/conversations'
import { useEffect, useRef, useState } from 'react'
import { useWords } from '../../words/words'
import { problemWords } from '../problem'

/** Announces to a screen reader that an answer began, and then the whole of it once as plain text, instead of every token. */
export function Announcer({ answer, waiting }: { answer: ConversationAnswer | undefined; waiting: number }) {
  const words = useWords()
  const [spoken, setSpoken] = useState('')
  const watched = useRef<string | null>(null)
  const id = answer?.id ?? null
  const status = answer?.status
  useEffect(() => {
    if (status === 'streaming') {
      watched.current = id
      setSpoken(words.chat.answering)
      return
    }
    if (watched.current === null || watched.current !== id || !answer) return
    watched.current = null
    const ending = answer.failure ? problemWords(answer.failure.code, words) : status === 'stopped' ? words.chat.stopped : ''
    let current = true
    void import('./plain-text').then(({ plainText, shortened }) => {
      const text = shortened(plainText(answer.message.text, words.chat), words.chat)
      if (current) setSpoken([text, ending].filter(Boolean).join(' '))
    })
    return () => void (current = false)
    // The text is read when the status changes, never because it grew.
  }, [id, status]) // eslint-disable-line react-hooks/exhaustive-deps
  const before = useRef(waiting)
  useEffect(() => {
    if (waiting > before.current) setSpoken(words.chat.spokenQueued)
    before.current = waiting
  }, [waiting, words])
  return (
    <div className="visually-hidden" role="status" aria-live="polite" data-testid="announcer">
      {spoken}
    </div>
  )
}
