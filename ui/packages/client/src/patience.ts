/** Subscribes to moments at which a broken connection is worth trying again; returns the way to unsubscribe. */
export type WakeSource = (listener: () => void) => () => void

/** Its signal aborts when nothing has come for too long, or when the reader is closed. */
export type Patience = ReturnType<typeof createPatience>

// The server sends a heartbeat after 10 s without an event, so two missed ones mean a dead connection.
const SILENCE = 25_000
// After a wake one missed heartbeat is enough: after a sleep, a laptop may hold a dead socket.
const SILENCE_AFTER_WAKE = 12_000

/** Wakes when the network comes back or the page becomes visible; never outside a browser. */
export const pageWakes: WakeSource = (listener) => {
  if (!globalThis.document) return () => undefined
  const listening = new AbortController()
  const wake = () => document.hidden || listener()
  for (const type of ['online', 'visibilitychange']) addEventListener(type, wake, listening)
  return () => listening.abort()
}

/** Begins to wait for signs of life; `outer` is the signal of the reader. */
export function createPatience(outer: AbortSignal, wakes: WakeSource, silence = SILENCE, silenceAfterWake = SILENCE_AFTER_WAKE) {
  const controller = new AbortController()
  let last = 0
  let timer: ReturnType<typeof setTimeout> | undefined
  const expire = () => controller.abort()
  const renew = () => {
    last = Date.now()
    clearTimeout(timer)
    timer = setTimeout(expire, silence)
  }
  renew()
  const sleep = wakes(() => Date.now() - last < silenceAfterWake || expire())
  outer.addEventListener('abort', expire)
  if (outer.aborted) expire()
  return {
    signal: controller.signal,
    renew,
    end() {
      clearTimeout(timer)
      outer.removeEventListener('abort', expire)
      sleep()
    },
  }
}

/** Waits, but not past a wake or an abort. */
export async function delay(ms: number, outer: AbortSignal, wakes: WakeSource): Promise<void> {
  const { signal, end } = createPatience(outer, wakes, ms, 0)
  if (!signal.aborted) await new Promise((resolve) => (signal.onabort = resolve))
  end()
}
