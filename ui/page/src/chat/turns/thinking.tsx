import type { Timing, ToolCall } from '@headwater/client'
import { useState } from 'react'
import { useWords } from '../../words/words'

interface ReasoningProps {
  readonly text: string
  /** Nothing but reasoning has come so far. */
  readonly live: boolean
  readonly timing: Timing | null
}

/** What the model shows of its reasoning: open only while there is nothing else to read, unless a reader decides. */
export function Reasoning({ text, live, timing }: ReasoningProps) {
  const { chat } = useWords()
  const [chosen, setChosen] = useState<boolean | null>(null)
  // The server says it once the answer has ended; until then it is as long as was seen here.
  const [began] = useState(() => (live ? performance.now() : null))
  const [seen, setSeen] = useState<number | null>(null)
  if (!live && began !== null && seen === null) setSeen((performance.now() - began) / 1000)
  const told = timing?.first_token != null && timing.first_text != null ? timing.first_text - timing.first_token : null
  const spent = told ?? seen
  return (
    <details className="thinking" open={chosen ?? live}>
      <summary
        onClick={(event) => {
          event.preventDefault()
          setChosen(!(chosen ?? live))
        }}
      >
        {live ? chat.thinking : spent === null ? chat.thoughts : chat.thoughtFor(spent)}
      </summary>
      <p dir="auto">{text}</p>
    </details>
  )
}

/** The tools an answer called, each folded under its name. */
export function Tools({ tools }: { tools: readonly ToolCall[] }) {
  const { chat } = useWords()
  return (
    <ul className="tools">
      {tools.map((tool) => (
        <li key={tool.id}>
          <details className="thinking">
            <summary>{tool.complete ? chat.tool(tool.name) : chat.toolRunning(tool.name)}</summary>
            <p>{chat.toolInput}</p>
            <pre tabIndex={0} dir="ltr">
              {pretty(tool.arguments)}
            </pre>
            {tool.output !== null && (
              <>
                <p>{chat.toolOutput}</p>
                <pre tabIndex={0} dir="auto">
                  {pretty(tool.output)}
                </pre>
              </>
            )}
          </details>
        </li>
      ))}
    </ul>
  )
}

/** JSON with a line for each value; other text, and JSON on its way, as it is. */
function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}
