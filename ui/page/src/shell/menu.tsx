import { useEffect, useId, useRef, useState, type KeyboardEvent, type ReactNode } from 'react'
import { MoreIcon } from './icons'

/** One thing to do: an action, or a download by its address. */
export type MenuItem = { readonly label: string; readonly danger?: boolean } & ({ readonly act: () => void } | { readonly href: string })

/** A button that opens a list of things to do, in the browser's top layer so that nothing cuts it off. */
export function Menu({ label, items, children = <MoreIcon /> }: { label: string; items: readonly MenuItem[]; children?: ReactNode }) {
  const id = useId()
  const button = useRef<HTMLButtonElement>(null)
  const list = useRef<HTMLUListElement>(null)
  const [open, setOpen] = useState(false)
  useEffect(() => {
    const popover = list.current!
    const onToggle = (event: Event) => setOpen((event as ToggleEvent).newState === 'open')
    popover.addEventListener('toggle', onToggle)
    return () => popover.removeEventListener('toggle', onToggle)
  }, [])
  const entries = () => [...list.current!.querySelectorAll<HTMLElement>('[role=menuitem]')]
  const show = () => {
    const popover = list.current!
    popover.showPopover()
    place(popover, button.current!.getBoundingClientRect())
    entries()[0]?.focus()
  }
  const hide = () => {
    list.current!.hidePopover()
    button.current?.focus()
  }
  const onKeyDown = (event: KeyboardEvent) => {
    const all = entries()
    const at = all.indexOf(document.activeElement as HTMLElement)
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key]
    if (event.key === 'Tab') list.current!.hidePopover()
    if (event.key === 'Escape') {
      // Only the menu: a dialog around it stays.
      event.preventDefault()
      event.stopPropagation()
      hide()
    }
    if (to === undefined) return
    event.preventDefault()
    all.at(to % all.length)?.focus()
  }
  return (
    <>
      <button
        ref={button}
        type="button"
        className="quiet"
        aria-label={label}
        title={label}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={id}
        onClick={() => (open ? hide() : show())}
      >
        {children}
      </button>
      <ul ref={list} id={id} className="menu" role="menu" aria-label={label} popover="auto" onKeyDown={onKeyDown}>
        {items.map((item) => (
          <li key={item.label} role="none">
            {'href' in item ? (
              <a role="menuitem" tabIndex={-1} href={item.href} download="" onClick={hide}>
                {item.label}
              </a>
            ) : (
              <button
                type="button"
                role="menuitem"
                tabIndex={-1}
                data-danger={item.danger || undefined}
                onClick={() => {
                  hide()
                  item.act()
                }}
              >
                {item.label}
              </button>
            )}
          </li>
        ))}
      </ul>
    </>
  )
}

/** Puts a popover under a button, or over it where there is no room. */
function place(popover: HTMLElement, { top, bottom, left, right }: DOMRect): void {
  const { width, height } = popover.getBoundingClientRect()
  // It ends where a small button ends, and begins where a wide one begins.
  const rtl = document.documentElement.dir === 'rtl'
  const x = right - left < width === rtl ? left : right - width
  const y = bottom + height + 8 > innerHeight ? top - height - 4 : bottom + 4
  popover.style.left = `${Math.max(8, Math.min(x, innerWidth - width - 8))}px`
  popover.style.top = `${Math.max(8, y)}px`
}
