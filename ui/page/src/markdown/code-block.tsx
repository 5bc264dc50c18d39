import { useRef, type ReactNode } from 'react'
import { CopyButton } from '../chat/copy-button'

/** A fenced code block with its language and a copy button; a highlighter would wrap `children` here. */
export function CodeBlock({ children, language }: { children: ReactNode; language: string | null }) {
  const code = useRef<HTMLPreElement>(null)
  return (
    <figure className="code">
      <figcaption>
        <span>{language ?? 'text'}</span>
        <CopyButton label="Copy code" text={() => code.current?.textContent?.replace(/\n$/, '') ?? ''} />
      </figcaption>
      {/* Focusable, so that a keyboard can scroll a long line. */}
      <pre ref={code} tabIndex={0} dir="ltr">
        {children}
      </pre>
    </figure>
  )
}
