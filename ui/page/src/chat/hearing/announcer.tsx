import type { ConversationTurn } from '@headwater/client/conversations'
import { useEffect, useRef, useState } from 'react'
import { useWords } from '../../words/words'
import { problemWords } from '../problem'

interface AnnouncerProps {
  readonly turns: readonly ConversationTurn[]
  /** How many questions are queued. */
  readonly waiting: number
}

/** Announces to a screen reader that an answer began, and then the whole of it once as plain text, instead of every token. */
export function Announcer({ turns, waiting }: AnnouncerProps) {
  const words = useWords()
  const [spoken, setSpoken] = useState('')
  const watched = useRef<string | null>(null)
  const last = turns.at(-1)
  const id = last?.id ?? null
  const status = last?.role === 'assistant' ? last.status : undefined
  useEffect(() => {
    const begun = status === 'streaming' ? words.chat.answering : ''
    // With a question in the queue, the next answer begins in the moment in which this one ends.
    const ended = turns.find((turn) => turn.id === watched.current)
    if (begun) watched.current = id
    if (ended?.role !== 'assistant' || ended.status === 'streaming') return begun ? setSpoken(begun) : undefined
    if (!begun) watched.current = null
    const ending = ended.failure ? problemWords(ended.failure.code, words) : ended.status === 'stopped' ? words.chat.stopped : ''
    let current = true
    void import('./plain-text').then(({ plainText, shortened }) => {
      const text = shortened(plainText(ended.message.text, words.chat), words.chat)
      if (current) setSpoken([text, ending, begun].filter(Boolean).join(' '))
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
