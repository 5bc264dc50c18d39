import type { ToolCall } from '@headwater/client'

/** What the model shows of its reasoning, open only while there is nothing else to read. */
export function Reasoning({ text, live }: { text: string; live: boolean }) {
  return (
    <details className="thinking" open={live}>
      <summary>{live ? 'Thinking…' : 'Thoughts'}</summary>
      <p dir="auto">{text}</p>
    </details>
  )
}

/** The tools an answer called. */
export function Tools({ tools }: { tools: readonly ToolCall[] }) {
  return (
    <ul className="tools">
      {tools.map((tool) => (
        <li key={tool.id}>
          <details className="thinking">
            <summary>
              Tool <code>{tool.name}</code> {tool.complete ? '' : '…'}
            </summary>
            <pre tabIndex={0}>{tool.arguments}</pre>
            {tool.output !== null && <pre tabIndex={0}>{tool.output}</pre>}
          </details>
        </li>
      ))}
    </ul>
  )
}
