import { useSyncExternalStore } from 'react'

/** The two looks of the page. */
export type Theme = 'light' | 'dark'

const KEY = 'headwater.theme'
const listeners = new Set<() => void>()

function systemTheme(): MediaQueryList {
  return matchMedia('(prefers-color-scheme: dark)')
}

function currentTheme(): Theme {
  const chosen = document.documentElement.dataset.theme
  if (chosen === 'light' || chosen === 'dark') return chosen
  return systemTheme().matches ? 'dark' : 'light'
}

function subscribe(listener: () => void): () => void {
  const system = systemTheme()
  listeners.add(listener)
  system.addEventListener('change', listener)
  return () => {
    listeners.delete(listener)
    system.removeEventListener('change', listener)
  }
}

function choose(theme: Theme): void {
  document.documentElement.dataset.theme = theme
  try {
    localStorage.setItem(KEY, theme)
  } catch {
    // Where storage is forbidden the choice lasts as long as the page.
  }
  for (const listener of listeners) listener()
}

/** The current theme, the system's until one is chosen, and the way to change it. */
export function useTheme(): { theme: Theme; toggle: () => void } {
  const theme = useSyncExternalStore(subscribe, currentTheme)
  return { theme, toggle: () => choose(theme === 'dark' ? 'light' : 'dark') }
}
