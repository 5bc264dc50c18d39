import { memo, useLayoutEffect, useMemo, useRef, useState, type ReactNode } from 'react'
import { useWords } from '../words/words'
import { WrapIcon } from './code/icons'
import { fileNameOf, highlighterOf } from './code/languages'
import { partsOf } from './code/paint'
import { Toolbar } from './code/toolbar'
import { useHighlight } from './code/use-highlight'

interface CodeBlockProps {
  readonly language: string | null
  /** The code of a fence that is closed: it gets colours. */
  readonly code?: string
  /** What the fence says behind its language, such as a file's name. */
  readonly meta?: string | null
  /** What is shown of a fence that is still being written, in place of `code`: plain, as it comes. */
  readonly children?: ReactNode
}

/** A fenced code block: its language, buttons that stay in sight, and its code. */
export const CodeBlock = memo(function CodeBlock({ language, code = '', meta = null, children }: CodeBlockProps) {
  const { markdown } = useWords()
  const [wrapped, setWrapped] = useState(false)
  const pre = useRef<HTMLPreElement>(null)
  const shown = useRef<HTMLElement>(null)
  const open = children !== undefined
  const parts = useMemo(() => partsOf(code), [code])
  const scrolls = useScrolls(pre)
  useHighlight(shown, code, open ? null : highlighterOf(language))
  const source = () => (pre.current?.textContent ?? code).replace(/\n$/, '')
  return (
    <figure className="code" dir="ltr" data-open={open || undefined} data-wrapped={wrapped || undefined}>
      <Toolbar
        title={language ?? markdown.text}
        copyLabel={markdown.copyCode}
        source={source}
        file={() => new File([`${source()}\n`], fileNameOf(language, meta), { type: 'text/plain' })}
      >
        <button type="button" className="quiet" aria-label={markdown.wrap} title={markdown.wrap} aria-pressed={wrapped} onClick={() => setWrapped(!wrapped)}>
          <WrapIcon />
        </button>
      </Toolbar>
      {/* A keyboard has to stop here only where it can scroll something. */}
      <pre ref={pre} tabIndex={scrolls && !wrapped ? 0 : undefined} role={scrolls ? 'group' : undefined} aria-label={scrolls ? markdown.code(language ?? markdown.text) : undefined}>
        <code ref={shown}>
          {open
            ? children
            : parts.map((part, index) => (
                <span key={index} className="code-part">
                  {part}
                </span>
              ))}
        </code>
      </pre>
    </figure>
  )
})

/** Whether an element's content is wider than it. */
function useScrolls(element: React.RefObject<HTMLElement | null>): boolean {
  const [scrolls, setScrolls] = useState(false)
  useLayoutEffect(() => {
    const box = element.current
    if (box === null || typeof ResizeObserver === 'undefined') return
    const observer = new ResizeObserver(() => setScrolls(box.scrollWidth > box.clientWidth))
    observer.observe(box)
    if (box.firstElementChild) observer.observe(box.firstElementChild)
    return () => observer.disconnect()
  }, [element])
  return scrolls
}
