import { Children, isValidElement, type ReactNode } from 'react'
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
  pre: ({ children }) => <Pre>{children}</Pre>,
  // What the formula syntax makes of a formula; Markdown itself has no such element.
  var: ({ children }) => <Formula source={textIn(children)} />,
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
      <table>{children}</table>
    </div>
  )
}

function Task({ done }: { done: boolean }) {
  const { markdown } = useWords()
  return <span className="task" role="img" aria-label={done ? markdown.taskDone : markdown.taskOpen} data-done={done || undefined} />
}

interface CodeProps {
  readonly className?: string
  readonly children?: ReactNode
  /** The fence is still being written. */
  readonly 'data-open'?: boolean
  /** What the fence says behind its language. */
  readonly 'data-meta'?: string
}

/** A fence, or indented code: a closed one is a diagram if it says so. */
function Pre({ children }: { children: ReactNode }) {
  const [code] = Children.toArray(children)
  if (!isValidElement<CodeProps>(code)) return <pre>{children}</pre>
  const { className = '', children: text, 'data-open': open, 'data-meta': meta = null } = code.props
  const language = /language-(\S{1,40})/.exec(className)?.[1] ?? null
  if (open) return <CodeBlock language={language}>{text}</CodeBlock>
  if (language?.toLowerCase() === 'mermaid') return <Diagram source={textIn(text)} />
  return <CodeBlock language={language} code={textIn(text)} meta={meta} />
}

function textIn(children: ReactNode): string {
  if (Array.isArray(children)) return children.map(textIn).join('')
  if (isValidElement<{ children?: ReactNode }>(children)) return textIn(children.props.children)
  return typeof children === 'string' || typeof children === 'number' ? String(children) : ''
}
