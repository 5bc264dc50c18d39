/** Subscribes to moments at which a broken connection is worth trying again; returns the way to unsubscribe. */
export type WakeSource = (listener: () => void) => () => void

/** The server sends a heartbeat after 10 s without an event, so three missed ones mean a dead connection. */
export const SILENCE = 30_000
/** After a wake one missed heartbeat is enough: after a sleep, a laptop may hold a dead socket. */
const SILENCE_AFTER_WAKE = 12_000

/** Wakes when the network comes back or the page becomes visible; never outside a browser. */
export const pageWakes: WakeSource = (listener) => {
  if (typeof window === 'undefined') return () => undefined
  const whenVisible = () => document.visibilityState === 'visible' && listener()
  window.addEventListener('online', listener)
  document.addEventListener('visibilitychange', whenVisible)
  return () => {
    window.removeEventListener('online', listener)
    document.removeEventListener('visibilitychange', whenVisible)
  }
}

/** Watches one connection and aborts its signal when no byte has come for too long. */
export function createPatience(outer: AbortSignal, wakes: WakeSource) {
  const controller = new AbortController()
  let stale = false
  let lastBytes = Date.now()
  const expire = () => controller.abort(new DOMException('no bytes from the server', 'TimeoutError'))
  let timer = setTimeout(expire, SILENCE)
  const leave = () => controller.abort(outer.reason)
  outer.addEventListener('abort', leave)
  if (outer.aborted) leave()
  const sleep = wakes(() => {
    if (Date.now() - lastBytes < SILENCE_AFTER_WAKE) return
    stale = true
    expire()
  })
  return {
    signal: controller.signal,
    get stale() {
      return stale
    },
    renew() {
      lastBytes = Date.now()
      clearTimeout(timer)
      timer = setTimeout(expire, SILENCE)
    },
    end() {
      clearTimeout(timer)
      outer.removeEventListener('abort', leave)
      sleep()
    },
  }
}

/** Waits, but not past a wake or an abort. */
export function delay(ms: number, signal: AbortSignal, wakes: WakeSource): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', finish)
      sleep()
      resolve()
    }
    const timer = setTimeout(finish, ms)
    const sleep = wakes(finish)
    signal.addEventListener('abort', finish)
    if (signal.aborted) finish()
  })
}
