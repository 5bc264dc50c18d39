import { words as english } from '../words/en'
import { useWords } from '../words/words'
import { Mark } from './icons'

/** What a visitor sees before the first question; the demo model is asked in English, the only language it has. */
export function EmptyState({ onAsk, demo = false }: { onAsk: (prompt: string) => void; demo?: boolean }) {
  const { shell: words } = useWords()
  return (
    <section className="empty">
      <Mark size={56} />
      <h2>{words.emptyTitle}</h2>
      <p>{words.emptyText}</p>
      <ul aria-label={words.suggestions}>
        {words.examples.map((example, place) => {
          const { prompt } = demo ? (english.shell.examples[place] ?? example) : example
          return (
            <li key={place}>
              <button type="button" data-testid="suggestion" onClick={() => onAsk(prompt)}>
                <strong>{example.title}</strong>
                <span dir="auto">{prompt}</span>
              </button>
            </li>
          )
        })}
      </ul>
    </section>
  )
}
