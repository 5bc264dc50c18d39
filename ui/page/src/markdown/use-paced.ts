import { useLayoutEffect, useReducer, useRef } from 'react'
import { renderPace } from './render-pace'

/** Milliseconds by which what is shown may lag behind what came. */
const LAG = 220
const STEP = 33
/** Milliseconds between two renders where they cost little. */
const SMOOTH = 50
/** So many characters at once are no burst. */
const LITTLE = 200

/**
 * The part of a growing text to show now: a burst comes in steps, a quarter of a second long at most.
 * All of it shows at once when it stopped growing, was there from the beginning, in a hidden tab and for reduced motion.
 */
export function usePaced(text: string, growing: boolean): string {
  const shown = useRef(text)
  const began = useRef(0)
  const [, again] = useReducer((count: number) => count + 1, 0)
  const now = performance.now()
  const lag = growing && text.startsWith(shown.current) ? text.length - shown.current.length : 0
  const paced = lag > LITTLE && !isUnseen()
  const since = began.current || now
  const next = paced ? text.slice(0, wholeCharacter(text, shown.current.length + stepOf(lag, since + LAG - now))) : text
  useLayoutEffect(() => {
    shown.current = next
    began.current = next.length < text.length ? since : 0
    if (next.length === text.length) return
    let frame = 0
    const timer = setTimeout(() => (frame = requestAnimationFrame(again)), stepTime() - 16)
    // A hidden tab has no frames.
    document.addEventListener('visibilitychange', again)
    return () => {
      clearTimeout(timer)
      cancelAnimationFrame(frame)
      document.removeEventListener('visibilitychange', again)
    }
  })
  return next
}

/** Where renders are slow, steps are as far apart as they. */
function stepTime(): number {
  return renderPace() > SMOOTH ? renderPace() : STEP
}

function stepOf(lag: number, left: number): number {
  const step = stepTime()
  return left <= step ? lag : Math.ceil((lag * step) / left)
}

function isUnseen(): boolean {
  return document.hidden || (typeof matchMedia === 'function' && matchMedia('(prefers-reduced-motion: reduce)').matches)
}

/** The end of a part that does not cut a character of two units. */
function wholeCharacter(text: string, end: number): number {
  const unit = text.charCodeAt(end - 1)
  return unit >= 0xd800 && unit < 0xdc00 ? end + 1 : end
}
