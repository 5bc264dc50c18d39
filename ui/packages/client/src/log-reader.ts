import { connecting, transition, type ConnectionInput } from './connection-state.js'
import { isEnding, parseEvent, ProtocolError, type Entry } from './events.js'
import { createFrameParser } from './frames.js'
import { createPatience, delay, pageWakes, type WakeSource } from './patience.js'
import { isEventStream, ProblemError, problemOf, type LogDescription, type Transport } from './transport.js'

/** Why a reader stopped: only `ended` and `settled` mean that the log's own ending is known. */
export type Outcome =
  | { readonly type: 'ended' }
  | { readonly type: 'settled'; readonly log: LogDescription }
  | { readonly type: 'gone'; readonly problem: ProblemError }
  | { readonly type: 'refused'; readonly problem: ProblemError }
  | { readonly type: 'gave-up'; readonly attempts: number }
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
}

/** Reads one log to its ending, however often the connection breaks on the way. */
export async function readLog(options: ReadOptions): Promise<Outcome> {
  const { transport, location, signal, onConnection, wakes = pageWakes } = options
  let state = connecting(options.cursor)
  let first = options.response
  const step = (input: ConnectionInput) => {
    const next = transition(state, input)
    state = next.state
    return next.action
  }
  const isNew = createDeduplicator(options.cursor)
  const accept = (entries: readonly Entry[]) => {
    const interruption = entries.findIndex(isInterruption)
    const fresh = entries.slice(0, interruption < 0 ? entries.length : interruption).filter(isNew)
    if (fresh.length > 0) options.onEntries(fresh)
    for (const { id, event } of fresh) step({ type: 'entry', id, ending: event !== null && isEnding(event) })
    if (interruption >= 0 && state.phase !== 'done') throw new ProtocolError('the server could not read the log on')
    return state.phase === 'done'
  }

  const connect = async (): Promise<ConnectionInput | Outcome> => {
    const patience = createPatience(signal, wakes)
    try {
      const response = first ?? (await transport.read(location, state.cursor, patience.signal))
      first = undefined
      const verdict = await judge(response)
      if (verdict) return verdict
      step({ type: 'opened' })
      onConnection?.('live')
      await drain(response, patience, { accept, step })
      return state.phase === 'done' ? { type: 'ended' } : { type: 'broken', random: Math.random() }
    } catch (error) {
      if (signal.aborted) return { type: 'closed' }
      if (!isConnectionTrouble(error) && !patience.signal.aborted) throw error
      return patience.stale ? { type: 'stale' } : { type: 'broken', random: Math.random() }
    } finally {
      patience.end()
    }
  }

  let action = step({ type: 'waited' })
  for (;;) {
    if (signal.aborted) return { type: 'closed' }
    let input: ConnectionInput | Outcome
    if (action.type === 'connect') input = await connect()
    else if (action.type === 'settle') input = await settle(transport, location, signal)
    else if (action.type === 'wait') {
      onConnection?.('reconnecting')
      await delay(action.ms, signal, wakes)
      input = { type: 'waited' }
    } else if (action.type === 'give-up') return { type: 'gave-up', attempts: action.attempts }
    else return { type: 'closed' }
    if (isOutcome(input)) return input
    action = step(input)
  }
}

/** Says what a response other than a stream means; null when it is the stream. */
async function judge(response: Response): Promise<ConnectionInput | Outcome | null> {
  if (response.status === 204) return { type: 'nothing-left' }
  if (response.ok) {
    if (isEventStream(response)) return null
    await response.body?.cancel()
    return { type: 'broken', random: Math.random() }
  }
  const problem = await problemOf(response)
  if (response.status === 404 || response.status === 410) return { type: 'gone', problem }
  if (response.status < 500 && response.status !== 429) return { type: 'refused', problem }
  return { type: 'broken', random: Math.random(), notBefore: (problem.retryAfter ?? 0) * 1000 }
}

interface Sink {
  readonly accept: (entries: readonly Entry[]) => boolean
  readonly step: (input: ConnectionInput) => unknown
}

async function drain(response: Response, patience: ReturnType<typeof createPatience>, sink: Sink): Promise<void> {
  const reader = response.body?.getReader()
  if (!reader) return
  // The POST that opened the log was made with another signal, so silence has to end its body by hand.
  const cancel = () => void reader.cancel().catch(() => undefined)
  patience.signal.addEventListener('abort', cancel)
  if (patience.signal.aborted) cancel()
  let entries: Entry[] = []
  const parse = createFrameParser({
    onFrame: (id, data) => entries.push({ id, event: parseEvent(data) }),
    onRetry: (ms) => sink.step({ type: 'retry', ms }),
    onComment: () => sink.step({ type: 'alive' }),
  })
  const decoder = new TextDecoder()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (patience.signal.aborted) throw new ProtocolError('the connection went silent')
      // Half a frame at the end of the bytes is dropped: the resume brings it whole.
      if (done) return
      patience.renew()
      entries = []
      parse(decoder.decode(value, { stream: true }))
      if (sink.accept(entries)) return
    }
  } finally {
    cancel()
  }
}

async function settle(transport: Transport, location: string, signal: AbortSignal): Promise<ConnectionInput | Outcome> {
  try {
    const log = await transport.describe(location, AbortSignal.any([signal, AbortSignal.timeout(30_000)]))
    return log.state === 'open' ? { type: 'broken', random: Math.random() } : { type: 'settled', log }
  } catch (error) {
    if (signal.aborted) return { type: 'closed' }
    if (error instanceof ProblemError && (error.status === 404 || error.status === 410)) return { type: 'gone', problem: error }
    return { type: 'broken', random: Math.random() }
  }
}

/** An error without an id is no entry of the log: the server could not read on, and the answer may still be written. */
function isInterruption({ id, event }: Entry): boolean {
  return id === undefined && event?.type === 'error' && event.retryable === true
}

/** Ids are opaque, so a re-delivered entry is known by having been seen, not by comparing. */
function createDeduplicator(cursor: string | null): (entry: Entry) => boolean {
  const seen = new Set(cursor === null ? [] : [cursor])
  return ({ id, event }) => {
    if (id === undefined) return true
    if (seen.has(id)) return false
    // A start not seen by this reader begins a full replay, which the fold takes from scratch.
    if (event?.type === 'start') seen.clear()
    seen.add(id)
    return true
  }
}

function isConnectionTrouble(error: unknown): boolean {
  return error instanceof ProtocolError || error instanceof TypeError || (error instanceof DOMException && error.name !== 'DataCloneError')
}

const OUTCOMES: ReadonlySet<string> = new Set<Outcome['type']>(['ended', 'settled', 'gone', 'refused', 'gave-up', 'closed'])

function isOutcome(value: ConnectionInput | Outcome): value is Outcome {
  return OUTCOMES.has(value.type)
}
