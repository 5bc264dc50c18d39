/** Tokens counted by the model's provider, where it counts them. */
export interface Usage {
  readonly input_tokens?: number | null
  readonly output_tokens?: number | null
}

/** The three ways a log can end; exactly one of them is its last event. */
export type Ending =
  | { readonly type: 'finish'; readonly reason: string; readonly usage?: Usage | null }
  | { readonly type: 'stop'; readonly by: string }
  | {
      readonly type: 'error'
      readonly code: string
      readonly message: string
      readonly retryable?: boolean
      readonly retry_after?: number | null
    }

/** A fact the model produced: the closed union of the native dialect's events. */
export type LogEvent =
  | { readonly type: 'start'; readonly message_id: string; readonly model: string }
  | { readonly type: 'text-delta'; readonly text: string }
  | { readonly type: 'reasoning-delta'; readonly text: string }
  | { readonly type: 'tool-call-start'; readonly id: string; readonly name: string }
  | { readonly type: 'tool-call-delta'; readonly id: string; readonly arguments: string }
  | { readonly type: 'tool-call-end'; readonly id: string }
  | { readonly type: 'tool-result'; readonly id: string; readonly output: string }
  | { readonly type: 'metadata'; readonly data: Readonly<Record<string, unknown>> }
  | Ending

/** An event with its place in the log; `event` is null for a type this client does not know yet. */
export interface Entry {
  readonly id: string | undefined
  readonly event: LogEvent | null
}

/** The bytes are not the native dialect: the connection cannot be trusted, the log still can. */
export class ProtocolError extends Error {
  override name = 'ProtocolError'
}

// Only what the fold concatenates or compares is checked: a server may add fields, never drop these.
const REQUIRED: { readonly [T in LogEvent['type']]: readonly string[] } = {
  start: ['message_id', 'model'],
  'text-delta': ['text'],
  'reasoning-delta': ['text'],
  'tool-call-start': ['id', 'name'],
  'tool-call-delta': ['id', 'arguments'],
  'tool-call-end': ['id'],
  'tool-result': ['id', 'output'],
  metadata: [],
  finish: ['reason'],
  stop: ['by'],
  error: ['code', 'message'],
}

/** Reads one `data:` line; null when a newer server sends a type unknown here. */
export function parseEvent(data: string): LogEvent | null {
  let value: unknown
  try {
    value = JSON.parse(data)
  } catch {
    throw new ProtocolError('a frame of the stream is not JSON')
  }
  if (!isRecord(value) || typeof value.type !== 'string') throw new ProtocolError('a frame of the stream has no type')
  if (!Object.hasOwn(REQUIRED, value.type)) return null
  for (const field of REQUIRED[value.type as LogEvent['type']]) {
    if (typeof value[field] !== 'string') throw new ProtocolError(`a ${value.type} event has no ${field}`)
  }
  return value as unknown as LogEvent
}

/** Whether this event is the log's last word. */
export function isEnding(event: LogEvent): event is Ending {
  return event.type === 'finish' || event.type === 'stop' || event.type === 'error'
}

/** Whether a parsed JSON value is an object with named fields. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
