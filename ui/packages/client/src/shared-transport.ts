import type { News, Port, Wish } from './follow-types.js'
import { takeSlot, withSlot } from './slots.js'
import { ProblemError, type Transport } from './transport.js'

// A worker that lives answers at once.
const DEAF = 2000
// What the server says of a log right after the headers: refused, or settled.
const FIRST_WORD = 100
const PING = 20_000

/** What one reading does with the worker's news. */
type Hear = (news: News) => void
type Silent = 'deaf' | 'full'

/**
 * Reads logs through the connection that all tabs share, and directly where there is none. `connect` returns the port
 * of a `SharedWorker` in which `createFollower` runs; it may throw, or return null, where a browser has no such workers.
 */
export function sharedTransport(transport: Transport, base: string, connect: () => Port | null): Transport {
  const readings = new Map<number, Hear>()
  const place = new URL(base, globalThis.location?.href)
  let port: Port | null | undefined
  let keys = 0
  const say = (wish: Wish) => port?.postMessage(wish)
  const begin = () => {
    try {
      port = connect()
    } catch {
      port = null
    }
    if (!port) return
    port.onmessage = ({ data }: MessageEvent<News>) => readings.get(data.key)?.(data)
    port.start?.()
    const { locks } = globalThis.navigator ?? {}
    const name = `headwater-tab-${crypto.getRandomValues(new Uint32Array(4)).join('-')}`
    // The worker is told only once the lock is held, or it would be granted the lock itself.
    if (globalThis.document && locks) void locks.request(name, () => (say({ type: 'lock', name }), new Promise(() => undefined))).catch(() => undefined)
    else unrefed(setInterval(() => say({ type: 'ping' }), PING))
    if (globalThis.document) addEventListener('pagehide', () => say({ type: 'bye' }))
  }
  return {
    ...transport,
    async read(location, cursor, signal) {
      if (port === undefined) begin()
      const log = logOf(location, place)
      if (log === null) return transport.read(location, cursor, signal)
      if (!port) return directly(transport, location, cursor, signal)
      const key = ++keys
      const reading = openReading(signal, () => {
        readings.delete(key)
        say({ type: 'leave', key })
      })
      readings.set(key, reading.hear)
      say({ type: 'read', key, base: place.href, log, cursor })
      const answer = await reading.answer
      if (typeof answer === 'object') return answer
      // A worker that has died is not waited for again.
      if (answer === 'deaf') port = null
      return directly(transport, location, cursor, signal)
    },
  }
}

/** Reads a log over a connection of its own, of which all tabs together have only so many. */
async function directly(transport: Transport, location: string, cursor: string | null, signal: AbortSignal): Promise<Response> {
  const { locks } = globalThis.navigator ?? {}
  if (!locks) return transport.read(location, cursor, signal)
  const slot = await takeSlot(locks, () => globalThis.document?.hidden ?? false, signal)
  try {
    return withSlot(await transport.read(location, cursor, AbortSignal.any([signal, slot.lost])), slot)
  } catch (error) {
    slot.free()
    throw error
  }
}

/** Makes a response of what the worker tells; or says that it tells nothing at all, or has no room. */
function openReading(signal: AbortSignal, leave: () => void): { readonly hear: Hear; readonly answer: Promise<Response | Silent> } {
  const encoder = new TextEncoder()
  let hear: Hear = () => undefined
  const answer = new Promise<Response | Silent>((resolve, reject) => {
    let controller: ReadableStreamDefaultController<Uint8Array> | null = null
    let word: ReturnType<typeof setTimeout> | undefined
    const deaf = setTimeout(() => end(() => resolve('deaf')), DEAF)
    const end = (act: () => void) => {
      clearTimeout(deaf)
      clearTimeout(word)
      signal.removeEventListener('abort', abort)
      hear = () => undefined
      leave()
      act()
    }
    const fail = (reason: unknown) => end(() => (controller ? controller.error(reason) : reject(reason)))
    const abort = () => fail(new DOMException('The reader has left.', 'AbortError'))
    const open = () => {
      clearTimeout(word)
      if (controller) return controller
      const body = new ReadableStream<Uint8Array>({ start: (given) => void (controller = given), cancel: () => end(() => undefined) })
      resolve(new Response(body, { headers: { 'Content-Type': 'text/event-stream' } }))
      return controller!
    }
    signal.addEventListener('abort', abort)
    hear = (news) => {
      clearTimeout(deaf)
      if (news.type === 'open') word ??= setTimeout(open, FIRST_WORD)
      else if (news.type === 'frame') open().enqueue(encoder.encode(news.text))
      // A line without a field, which a reader takes as a sign of life.
      else if (news.type === 'beat') controller?.enqueue(encoder.encode(':\n'))
      else if (news.type === 'end') end(() => open().close())
      else if (news.type === 'settled' && !controller) end(() => resolve(new Response(null, { status: 204 })))
      else if (news.type === 'full' && !controller) end(() => resolve('full'))
      else if (news.type === 'refused') {
        const { status, code, message, retryable } = news.problem
        fail(new ProblemError(status, code, message, retryable, null))
      } else if (news.type !== 'heard') fail(new TypeError('The connection was lost.'))
    }
    if (signal.aborted) abort()
  })
  return { hear: (news) => hear(news), answer }
}

/** The id of a log of this server; null for an address that is no log's. */
function logOf(location: string, base: URL): string | null {
  const { href } = new URL(location, base)
  const start = new URL('api/streams/', base).href
  return href.startsWith(start) ? (/^[a-z0-9~-]+$/.exec(href.slice(start.length))?.[0] ?? null) : null
}

function unrefed(timer: ReturnType<typeof setInterval>): void {
  ;(timer as { unref?: () => void }).unref?.()
}
