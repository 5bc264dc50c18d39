import { useEffect, useState, type ReactNode } from 'react'
import { CheckIcon, CopyIcon } from '../shell/icons'
import { useWords } from '../words/words'

interface CopyButtonProps {
  readonly label: string
  readonly text: () => string
  /** What is shown beside the sign; "Copy" if nothing is said. */
  readonly children?: ReactNode
}

/** Copies a text and says so for a moment. */
export function CopyButton({ label, text, children }: CopyButtonProps) {
  const { chat } = useWords()
  const [copied, setCopied] = useState(false)
  useEffect(() => {
    if (!copied) return
    const timer = setTimeout(() => setCopied(false), 1500)
    return () => clearTimeout(timer)
  }, [copied])
  return (
    <button type="button" className="quiet" aria-label={copied ? chat.copied : label} title={label} onClick={({ currentTarget }) => void copy(text(), currentTarget.closest('dialog') ?? document.body).then(setCopied)}>
      {copied ? <CheckIcon /> : <CopyIcon />}
      <span>{copied ? chat.copied : (children ?? chat.copy)}</span>
    </button>
  )
}

/** Copies by way of a field in `place`: beside a modal dialog nothing can be selected. */
async function copy(text: string, place: HTMLElement): Promise<boolean> {
  // The clipboard API exists only on https and localhost; a page on a LAN address still has the old command.
  if (navigator.clipboard) return navigator.clipboard.writeText(text).then(() => true, () => false)
  const field = document.createElement('textarea')
  field.value = text
  const focused = document.activeElement
  place.append(field)
  field.select()
  const done = document.execCommand('copy')
  field.remove()
  if (focused instanceof HTMLElement) focused.focus()
  return done
}
