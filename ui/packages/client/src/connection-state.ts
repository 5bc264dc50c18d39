/** Where a reader's connection to one log stands; immutable, no I/O. */
export interface ConnectionState {
  readonly phase: 'connecting' | 'open' | 'waiting' | 'settling' | 'done'
  /** The id of the last entry folded, sent back as `Last-Event-ID`. */
  readonly cursor: string | null
  /** Connections in a row that brought nothing. */
  readonly failures: number
  /** The server's `retry:` in milliseconds. */
  readonly retry: number
}

/** What happened on the connection. */
export type ConnectionInput =
  | { readonly type: 'opened' }
  | { readonly type: 'entry'; readonly id: string | undefined; readonly ending: boolean }
  | { readonly type: 'alive' }
  | { readonly type: 'retry'; readonly ms: number }
  | { readonly type: 'broken'; readonly random: number; readonly notBefore?: number | null }
  | { readonly type: 'stale' }
  | { readonly type: 'nothing-left' }
  | { readonly type: 'waited' }
  | { readonly type: 'over' }

/** What the caller must do next; the machine itself does nothing. */
export type ConnectionAction =
  | { readonly type: 'none' }
  | { readonly type: 'connect'; readonly cursor: string | null }
  | { readonly type: 'wait'; readonly ms: number; readonly attempt: number }
  | { readonly type: 'settle' }
  | { readonly type: 'give-up'; readonly attempts: number }
  | { readonly type: 'finish' }

/** A new state and the one thing to do about it. */
export interface Transition {
  readonly state: ConnectionState
  readonly action: ConnectionAction
}

/** Attempts without progress before a reader gives up: with doubling waits, about two minutes. */
export const MAX_FAILURES = 8
const LONGEST_WAIT = 30_000

/** The state of a reader that is about to connect. */
export function connecting(cursor: string | null): ConnectionState {
  return { phase: 'connecting', cursor, failures: 0, retry: 2000 }
}

/** Decides what an input means; the caller does the I/O and reports back. */
export function transition(state: ConnectionState, input: ConnectionInput): Transition {
  if (state.phase === 'done') return { state, action: { type: 'none' } }
  switch (input.type) {
    case 'opened':
      return { state: { ...state, phase: 'open' }, action: { type: 'none' } }
    case 'entry': {
      const cursor = input.id ?? state.cursor
      return input.ending
        ? finish({ ...state, cursor })
        : { state: { ...state, cursor, failures: 0 }, action: { type: 'none' } }
    }
    case 'alive':
      // A heartbeat means ten good seconds, so a proxy that cuts long silences never uses up the attempts.
      return { state: { ...state, failures: 0 }, action: { type: 'none' } }
    case 'retry':
      return { state: { ...state, retry: input.ms }, action: { type: 'none' } }
    case 'broken':
      return broken(state, input.random, input.notBefore ?? 0)
    case 'stale':
    case 'waited':
      return { state: { ...state, phase: 'connecting' }, action: { type: 'connect', cursor: state.cursor } }
    case 'nothing-left':
      return { state: { ...state, phase: 'settling' }, action: { type: 'settle' } }
    case 'over':
      return finish(state)
    default:
      return unreachable(input)
  }
}

function broken(state: ConnectionState, random: number, notBefore: number): Transition {
  const failures = state.failures + 1
  if (failures > MAX_FAILURES) {
    return { state: { ...state, phase: 'done', failures }, action: { type: 'give-up', attempts: MAX_FAILURES } }
  }
  const backoff = Math.min(LONGEST_WAIT, state.retry * 2 ** (failures - 1))
  // Jitter spreads the readers of a restarted server over half the wait.
  const ms = Math.max(notBefore, Math.round(backoff * (0.5 + random / 2)))
  return { state: { ...state, phase: 'waiting', failures }, action: { type: 'wait', ms, attempt: failures } }
}

function finish(state: ConnectionState): Transition {
  return { state: { ...state, phase: 'done' }, action: { type: 'finish' } }
}

function unreachable(value: never): never {
  throw new Error(`unhandled ${JSON.stringify(value)}`)
}
