import { useEffect, useRef } from 'react'

const mac = /Mac|iPhone|iPad/.test(navigator.platform)

/** What the page's keys do. */
export interface KeyActions {
  readonly search: () => void
  readonly newChat: () => void
  readonly keys: () => void
}

/** The keys of an action as this keyboard names them, such as `Ctrl+Shift+O` or `⌘⇧O`. */
export function keyNames(...keys: ('ctrl' | 'shift' | string)[]): string {
  const names = mac ? { ctrl: '⌘', shift: '⇧' } : { ctrl: 'Ctrl', shift: 'Shift' }
  return keys.map((key) => names[key as keyof typeof names] ?? key).join(mac ? '' : '+')
}

/** Ctrl+K, Ctrl+Shift+O and Ctrl+/ anywhere on the page; Cmd on a Mac. */
export function useKeys(actions: KeyActions): void {
  const current = useRef(actions)
  current.current = actions
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.altKey || event.isComposing || !(mac ? event.metaKey : event.ctrlKey)) return
      const key = event.key.toLowerCase()
      // Where "/" is a shifted key, Shift is down with it.
      const act = key === 'k' && !event.shiftKey ? 'search' : key === 'o' && event.shiftKey ? 'newChat' : key === '/' || event.code === 'Slash' ? 'keys' : null
      if (!act) return
      event.preventDefault()
      current.current[act]()
    }
    window.addEventListener('keydown', onKey)
    return () => window.removeEventListener('keydown', onKey)
  }, [])
}

/** Puts the focus into the question box, where there is one. */
export function focusQuestion(): void {
  document.getElementById('ask')?.focus()
}
