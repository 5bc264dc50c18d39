import { Children, isValidElement, type ReactNode } from 'react'
import type { Components } from 'react-markdown'
import { CodeBlock } from './code-block'
import { safeUrl } from './safe-url'

/** How Markdown elements of a model's answer are shown: nothing loads by itself, every link leaves safely. */
export const ELEMENTS: Components = {
  a: ({ href, children }) => <SafeLink href={href}>{children}</SafeLink>,
  // A remote image would report what the model put in its address the moment it is shown.
  img: ({ src, alt }) => <SafeLink href={typeof src === 'string' ? src : undefined}>{`Image: ${alt || 'untitled'}`}</SafeLink>,
  pre: ({ children }) => <CodeBlock language={languageOf(children)}>{children}</CodeBlock>,
  table: ({ children }) => (
    <div className="table-scroll" tabIndex={0} role="group" aria-label="Table">
      <table dir="auto">{children}</table>
    </div>
  ),
  input: ({ checked }) => <span className="task" role="img" aria-label={checked ? 'done' : 'open'} data-done={checked || undefined} />,
}

function SafeLink({ href, children }: { href: string | undefined; children: ReactNode }) {
  const url = safeUrl(href)
  if (url === null) return <span className="dead-link">{children}</span>
  return (
    <a href={url} target="_blank" rel="noopener noreferrer">
      {children}
    </a>
  )
}

function languageOf(children: ReactNode): string | null {
  const [code] = Children.toArray(children)
  if (!isValidElement<{ className?: string }>(code)) return null
  return /language-(\S+)/.exec(code.props.className ?? '')?.[1] ?? null
}
