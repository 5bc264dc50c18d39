import { useEffect } from 'react'
import { preference, usePreference } from './preference'
import { useMedia } from './use-media'

/** The looks of the page; `system` follows the device. */
export const THEMES = ['system', 'light', 'dark'] as const
export type Theme = (typeof THEMES)[number]

// theme-early.js reads the same key before the first paint.
const themePreference = preference<Theme>('headwater.theme', THEMES, () => 'system')

/** What is chosen, what is seen, and the way to change it; keeps the document's attribute in step. */
export function useTheme(): { chosen: Theme; seen: 'light' | 'dark'; choose: (theme: Theme) => void } {
  const [chosen, choose] = usePreference(themePreference)
  const dark = useMedia('(prefers-color-scheme: dark)')
  useEffect(() => {
    if (chosen === 'system') delete document.documentElement.dataset.theme
    else document.documentElement.dataset.theme = chosen
  }, [chosen])
  return { chosen, seen: chosen === 'system' ? (dark ? 'dark' : 'light') : chosen, choose }
}
