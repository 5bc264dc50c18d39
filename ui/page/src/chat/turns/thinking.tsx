import type { ToolCall } from '@headwater/client'
import { useEffect, useRef, useState } from 'react'
import { useWords } from '../../words/words'

// How long an answer was seen to think, by its id: the server does not say.
const thought = new Map<string, number>()

interface ReasoningProps {
  readonly id: string
  readonly text: string
  /** Nothing but reasoning has come so far. */
  readonly live: boolean
}

/** What the model shows of its reasoning: open only while there is nothing else to read, unless a reader decides. */
export function Reasoning({ id, text, live }: ReasoningProps) {
  const { chat } = useWords()
  const [chosen, setChosen] = useState<boolean | null>(null)
  const began = useRef<number | null>(null)
  useEffect(() => {
    if (live) began.current ??= performance.now()
    else if (began.current !== null) thought.set(id, (performance.now() - began.current) / 1000)
  }, [live, id])
  const spent = thought.get(id) ?? (began.current === null || live ? null : (performance.now() - began.current) / 1000)
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
