import { useEffect, useLayoutEffect, useState } from 'react'

/** Whole seconds until a moment, in ms since 1970; 0 once it has come, or where there is none. */
export function useSecondsLeft(until: number | null): number {
  const [now, setNow] = useState(Date.now)
  const left = until === null ? 0 : Math.max(0, Math.ceil((until - now) / 1000))
  // Before it is painted: the last countdown may have ended long ago.
  useLayoutEffect(() => setNow(Date.now()), [until])
  useEffect(() => {
    if (left === 0) return
    const timer = setTimeout(() => setNow(Date.now()), 250)
    return () => clearTimeout(timer)
  }, [left, now])
  return left
}
