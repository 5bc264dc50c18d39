import { eightTimes } from './backoff.js'
import { isEnding, parseEvent, type Entry } from './events.js'
import { createFrameParser, type Frame } from './frames.js'
import { createPatience, delay, pageWakes, type Patience, type WakeSource } from './patience.js'
import { ProblemError, type LogDescription, type Transport } from './transport.js'

/** Why a reader stopped: only `ended` and `settled` mean that the log's own ending is known. */
export type Outcome =
  | { readonly type: 'ended' }
  | { readonly type: 'settled'; readonly log: LogDescription }
  | { readonly type: 'gone' | 'refused'; readonly problem: ProblemError }
  | { readonly type: 'gave-up' }
  | { readonly type: 'closed' }

/** What a reader needs: a log, an offset in it, and callbacks. */
export interface ReadOptions {
  readonly transport: Transport
  readonly location: string
  /** The id of the last entry already known; null replays the log from its start. */
  readonly cursor: string | null
  /** The response of the POST that opened the log, whose bytes come first. */
  readonly response?: Response | undefined
  readonly signal: AbortSignal
  readonly onEntries: (entries: readonly Entry[]) => void
  readonly onConnection?: (connection: 'live' | 'reconnecting') => void
  /** Events that make a waiting reader try again at once; by default `online` and a page becoming visible. */
  readonly wakes?: WakeSource | undefined
  /** The wait in milliseconds after so many failures in a row, where the server asks for `retry`; null gives up. */
  readonly wait?: ((failures: number, retry: number) => number | null) | undefined
}

/** How a connection ended: with the reader's outcome, or with the least time in milliseconds before the next one. */
type Attempt = Outcome | number
/** After a silence there has been enough waiting. */
const AT_ONCE = -1
const SOON = 0
const LOST = [SyntaxError, TypeError, DOMException]

/** Reads one log to its ending, however often the connection breaks on the way. */
export async function readLog(options: ReadOptions): Promise<Outcome> {
  const { transport, location, signal, onEntries, onConnection, wakes = pageWakes, wait = eightTimes } = options
  let { cursor, response } = options
  let failures = 0
  let retry = 2000
  let ended = false
  /** Seams for which the log is read again, since more had been seen than was stored before them; each once. */
  const reread = new Set<string | undefined>()
  /** What such a reading has brought, held until it reaches its seam: then the answer changes in one step. */
  let held: { readonly seam: string | undefined; readonly entries: Entry[] } | null = null
  let again = false
  /** Takes frames in; true when this connection has no more to say. */
  const accept = (frames: readonly Frame[]) => {
    let entries: Entry[] = []
    let interrupted = false
    for (const { id, data, retry: ms } of frames) {
      if (ms) retry = Number(ms) || retry
      // A heartbeat means ten good seconds, so a proxy that cuts long silences never uses up the attempts.
      if (!data) failures = ms ? failures : 0
      else {
        const event = parseEvent(data)
        // An error without an id is no entry of the log: the server could not read on, and the log may still grow.
        if (id === undefined && event.type === 'error' && event.retryable) interrupted = true
        else {
          if (event.type === 'continued' && event.rewind && cursor && cursor.split('.')[0] !== event.rewind && !reread.has(id)) {
            reread.add(id)
            held = { seam: id, entries: [] }
            cursor = null
            return (again = true)
          }
          failures = 0
          cursor = id ?? cursor
          ended ||= isEnding(event)
          entries.push({ id, event })
        }
      }
    }
    if (held) {
      held.entries.push(...entries)
      if (!ended && !entries.some(({ id }) => id === held!.seam)) return interrupted
      entries = held.entries
      held = null
    }
    if (entries.length > 0) onEntries(entries)
    return ended || interrupted
  }
  const drain = async (body: ReadableStream<Uint8Array>, { signal, renew }: Patience) => {
    const reader = body.getReader()
    // The POST that opened the log was made with another signal, so silence has to end its body by hand.
    const cancel = () => void reader.cancel().catch(() => undefined)
    signal.addEventListener('abort', cancel)
    const decoder = new TextDecoder()
    const parse = createFrameParser()
    try {
      while (!signal.aborted) {
        const { done, value } = await reader.read()
        // Half a frame at the end of the bytes is dropped: the resume brings it whole.
        if (done || signal.aborted) return
        renew()
        if (accept(parse(decoder.decode(value, { stream: true })))) return
      }
    } finally {
      cancel()
    }
  }
  const connect = async (): Promise<Attempt> => {
    const patience = createPatience(signal, wakes)
    again = false
    try {
      const reply = response ?? (await transport.read(location, cursor, patience.signal))
      response = undefined
      if (reply.status === 204) {
        const log = await transport.get<LogDescription>(location, patience.signal)
        return log.state === 'open' ? SOON : { type: 'settled', log }
      }
      onConnection?.('live')
      await drain(reply.body!, patience)
    } catch (error) {
      if (error instanceof ProblemError) {
        if (error.retryable) return (error.retryAfter ?? 0) * 1000
        return { type: error.status === 404 || error.status === 410 ? 'gone' : 'refused', problem: error }
      }
      // Bytes that are no events are the connection's fault, too; the log can still be read.
      if (!LOST.some((kind) => error instanceof kind) && !patience.signal.aborted) throw error
    } finally {
      patience.end()
    }
    return ended ? { type: 'ended' } : again || patience.signal.aborted ? AT_ONCE : SOON
  }

  for (;;) {
    const attempt = await connect()
    if (signal.aborted) return { type: 'closed' }
    if (typeof attempt === 'object') return attempt
    const pause = wait(++failures, retry)
    if (pause === null) return { type: 'gave-up' }
    onConnection?.('reconnecting')
    if (attempt !== AT_ONCE) await delay(Math.max(attempt, pause), signal, wakes)
  }
}
