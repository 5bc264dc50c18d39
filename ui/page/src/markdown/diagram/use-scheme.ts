import { useSyncExternalStore } from 'react'

/** Whether the page is dark just now, by its own switch or by the system's. */
export function useDark(): boolean {
  return useSyncExternalStore(subscribe, dark, () => false)
}

function dark(): boolean {
  return getComputedStyle(document.documentElement).colorScheme === 'dark'
}

function subscribe(changed: () => void): () => void {
  const system = window.matchMedia('(prefers-color-scheme: dark)')
  const switched = new MutationObserver(changed)
  system.addEventListener('change', changed)
  switched.observe(document.documentElement, { attributeFilter: ['data-theme'] })
  return () => {
    system.removeEventListener('change', changed)
    switched.disconnect()
  }
}
