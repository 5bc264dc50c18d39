import { Mark } from './icons'

const EXAMPLES = [
  { title: 'Explain something', prompt: 'Explain how a river finds its way to the sea, in three short paragraphs.' },
  { title: 'Write some code', prompt: 'Write a Python function that merges two sorted lists, and explain each step.' },
  { title: 'Compare', prompt: 'Compare server-sent events and WebSockets in a table.' },
  { title: 'Make a list', prompt: 'List five habits that make technical writing easier to read.' },
] as const

/** What a visitor sees before the first question. */
export function EmptyState({ onAsk }: { onAsk: (prompt: string) => void }) {
  return (
    <section className="empty">
      <Mark size={56} />
      <h2>What would you like to know?</h2>
      <p>Answers stream in as they are written, and survive a reload half-way through.</p>
      <ul>
        {EXAMPLES.map(({ title, prompt }) => (
          <li key={title}>
            <button type="button" onClick={() => onAsk(prompt)}>
              <strong>{title}</strong>
              <span>{prompt}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  )
}
