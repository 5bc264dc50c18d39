import type { Chat } from '@headwater/react'
import { memo, useState } from 'react'
import { AnswerView } from './answer-view'

const PAGE = 40

/** The turns of a chat, the newest forty at first: a long one would take seconds to mount. */
export function Transcript({ turns, regenerate, retry }: Pick<Chat, 'turns' | 'regenerate' | 'retry'>) {
  const [shown, setShown] = useState(PAGE)
  const hidden = Math.max(0, turns.length - shown)
  return (
    <section className="transcript" aria-label="Conversation">
      {hidden > 0 && (
        <button type="button" className="quiet earlier" onClick={() => setShown(shown + PAGE)}>
          Show {Math.min(hidden, PAGE)} earlier messages
        </button>
      )}
      {turns.slice(hidden).map((turn, index) =>
        turn.role === 'user' ? (
          <QuestionView key={turn.id} text={turn.text} />
        ) : (
          <AnswerView key={turn.id} answer={turn} last={hidden + index === turns.length - 1} regenerate={regenerate} retry={retry} />
        ),
      )}
    </section>
  )
}

const QuestionView = memo(function QuestionView({ text }: { text: string }) {
  return (
    <article className="question" data-testid="message-user" aria-label="You asked" dir="auto">
      {text}
    </article>
  )
})
