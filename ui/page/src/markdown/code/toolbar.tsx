import { useLayoutEffect, useRef, type KeyboardEvent, type ReactNode } from 'react'
import { CopyButton } from '../../chat/copy-button'
import { useWords } from '../../words/words'
import { DownloadIcon } from './icons'

interface ToolbarProps {
  /** What the block is, at its beginning. */
  readonly title: string
  readonly copyLabel: string
  readonly source: () => string
  readonly file: () => File
  /** Further buttons, before the two that every block has. */
  readonly children?: ReactNode
}

/** The line over a block: what it is, and its buttons. It is one stop of the Tab key; the arrow keys go along it. */
export function Toolbar({ title, copyLabel, source, file, children }: ToolbarProps) {
  const { markdown } = useWords()
  const bar = useRef<HTMLDivElement>(null)
  useLayoutEffect(() => {
    const all = buttons(bar.current)
    // Said by `focusable` alone: a button that never was asked has no such attribute.
    const stop = all.find((button) => button.getAttribute('tabindex') === '0') ?? all.at(-1)
    if (stop) focusable(all, stop)
  })
  return (
    <figcaption className="toolbar">
      <span className="toolbar-title">{title}</span>
      <div ref={bar} className="toolbar-buttons" role="toolbar" aria-label={markdown.toolbar(title)} onKeyDown={move}>
        {children}
        <button type="button" className="quiet" aria-label={markdown.download} title={markdown.download} onClick={() => save(file())}>
          <DownloadIcon />
        </button>
        <CopyButton label={copyLabel} text={source} />
      </div>
    </figcaption>
  )
}

function buttons(bar: HTMLElement | null): HTMLButtonElement[] {
  return [...(bar?.querySelectorAll('button') ?? [])]
}

function focusable(all: HTMLButtonElement[], stop: HTMLButtonElement): void {
  for (const button of all) button.tabIndex = button === stop ? 0 : -1
}

function move(event: KeyboardEvent<HTMLDivElement>): void {
  const all = buttons(event.currentTarget)
  const rightwards = getComputedStyle(event.currentTarget).direction === 'rtl' ? -1 : 1
  const steps: Record<string, number> = { ArrowRight: rightwards, ArrowLeft: -rightwards }
  const step = steps[event.key]
  const here = all.indexOf(event.target as HTMLButtonElement)
  if (step === undefined || here < 0) return
  event.preventDefault()
  const next = all[(here + step + all.length) % all.length]!
  focusable(all, next)
  next.focus()
}

function save(file: File): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(file)
  link.download = file.name
  link.click()
  // The browser takes the file up a moment after the click.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}
