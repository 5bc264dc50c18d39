import { useEffect, type RefObject } from 'react'
import { highlight } from './highlight'
import { paint } from './paint'

/** Colours a code once it comes near the view; until then, and where that cannot be, it is plain. */
export function useHighlight(code: RefObject<HTMLElement | null>, text: string, highlighter: string | null): void {
  useEffect(() => {
    const element = code.current
    if (element === null || highlighter === null || typeof IntersectionObserver === 'undefined') return
    const left = new AbortController()
    const nearby = new IntersectionObserver(
      (entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return
        nearby.disconnect()
        void highlight(text, highlighter).then((runs) => (runs ? paint(element.children, runs, left.signal) : undefined))
      },
      { rootMargin: '600px' },
    )
    nearby.observe(element)
    return () => {
      nearby.disconnect()
      left.abort()
    }
  }, [code, text, highlighter])
}
