import type { Element } from 'hast'
import type { ReactNode } from 'react'
import type { Components } from 'react-markdown'
import { useWords } from '../words/words'
import '../styles/code.css'
import { CodeBlock } from './code-block'
import { Diagram } from './diagram/diagram'
import { Formula } from './formula/formula'
import { Picture } from './picture'
import { safeUrl } from './safe-url'

/** How Markdown elements of a model's answer are shown: nothing loads by itself, every link leaves safely. */
export const ELEMENTS: Components = {
  a: ({ href, children }) => <SafeLink href={href}>{children}</SafeLink>,
  img: ({ src, alt }) => <Picture src={typeof src === 'string' ? src : undefined} alt={alt ?? ''} />,
  // What the formula syntax makes of a formula; Markdown itself has no such element.
  var: ({ node }) => <Formula source={textOf(node)} />,
  table: ({ children }) => <Table>{children}</Table>,
  input: ({ checked }) => <Task done={checked ?? false} />,
}

function SafeLink({ href, children }: { href: string | undefined; children: ReactNode }) {
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

function Table({ children }: { children: ReactNode }) {
  const { markdown } = useWords()
  return (
    <div className="table-scroll" tabIndex={0} role="group" aria-label={markdown.table}>
      <table dir="auto">{children}</table>
    </div>
  )
}

function Task({ done }: { done: boolean }) {
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

function textOf(node: Element | undefined): string {
  return (node?.children ?? []).map((child) => (child.type === 'text' ? child.value : child.type === 'element' ? textOf(child) : '')).join('')
}
