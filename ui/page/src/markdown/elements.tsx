import type { ReactNode } from 'react'
import { useWords } from '../words/words'
import '../styles/code.css'
import { CodeBlock } from './code-block'
import { Diagram } from './diagram/diagram'
import { safeUrl } from './safe-url'

/** A link of an answer: one that a model may set leaves safely, any other is shown as leading nowhere. */
export function SafeLink({ href, children }: { href: string; children: ReactNode }) {
  const { markdown } = useWords()
  const url = safeUrl(href)
  if (url === null) {
    return (
      <span className="dead-link" title={markdown.deadLink}>
        {children}
      </span>
    )
  }
  return (
    <a href={url} target="_blank" rel="noopener noreferrer">
      {children}
    </a>
  )
}

/** A table that scrolls by itself where it is too wide. */
export function Table({ children }: { children: ReactNode }) {
  const { markdown } = useWords()
  return (
    <div className="table-scroll" tabIndex={0} role="group" aria-label={markdown.table}>
      <table dir="auto">{children}</table>
    </div>
  )
}

/** The box of a task. */
export function Task({ done }: { done: boolean }) {
  const { markdown } = useWords()
  return <span className="task" role="img" aria-label={done ? markdown.taskDone : markdown.taskOpen} data-done={done || undefined} />
}

interface FenceProps {
  readonly language: string | null
  readonly code: string
  readonly meta: string | null
}

/** A closed fence: a diagram if it says so, code else. */
export function Fence({ language, code, meta }: FenceProps) {
  return language?.toLowerCase() === 'mermaid' ? <Diagram source={code} /> : <CodeBlock language={language} code={code} meta={meta} />
}
