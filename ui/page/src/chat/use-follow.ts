import { useCallback, useEffect, useRef, useState, type RefObject } from 'react'

// Close enough to the end to count as there, and far enough to offer the way back.
const NEAR = 40
const FAR = 160

/** Keeps the end of the growing page in view until the reader scrolls up, and again when they come back. */
export function useFollow(content: RefObject<HTMLElement | null>): { away: boolean; toLatest: () => void } {
  const [away, setAway] = useState(false)
  const following = useRef(true)
  const toLatest = useCallback(() => {
    following.current = true
    setAway(false)
    const page = document.documentElement
    page.scrollTop = page.scrollHeight
  }, [])

  useEffect(() => {
    const page = document.documentElement
    let top = page.scrollTop
    const onScroll = () => {
      const gap = page.scrollHeight - page.clientHeight - page.scrollTop
      // Growth never moves the page up, so only the reader's own hand can have done it.
      if (page.scrollTop < top - 1 && gap > 4) following.current = false
      else if (gap < NEAR) following.current = true
      top = page.scrollTop
      setAway(gap > FAR && !following.current)
    }
    const growth = new ResizeObserver(() => {
      if (following.current) page.scrollTop = page.scrollHeight
    })
    if (content.current) growth.observe(content.current)
    window.addEventListener('scroll', onScroll, { passive: true })
    return () => {
      growth.disconnect()
      window.removeEventListener('scroll', onScroll)
    }
  }, [content])
  return { away, toLatest }
}
