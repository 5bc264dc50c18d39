/** Tokens counted by the model's provider, where it counts them. */
export interface Usage {
  /** The whole input, whatever was read from the provider's cache or written to it. */
  readonly input_tokens?: number | null
  /** How many of the input tokens came from the provider's own cache. */
  readonly cached_tokens?: number
  /** How many of the input tokens the provider has written to its cache. */
  readonly cache_write_tokens?: number
  /** The whole output, reasoning included. */
  readonly output_tokens?: number | null
  /** How many of the output tokens were reasoning. */
  readonly reasoning_tokens?: number
  /** The price of the answer in US dollars, where it is known. */
  readonly cost?: number | null
}

/** What the cache has saved: the time, the tokens and the price of the original run. */
export interface Saved {
  /** 0 for a running answer that was joined. */
  readonly seconds: number
  readonly tokens: number
  /** In US dollars; null where it is not known. */
  readonly cost?: number | null
}

/** How the cache has answered a question. */
export interface Cached {
  readonly status: 'hit' | 'joined'
  /** Seconds since a stored answer was finished. */
  readonly age?: number
  /** What a stored answer saves, unless it is too long to tell it at its start. */
  readonly saved?: Saved
  /** The question that the stored answer was given to, if it had other words. */
  readonly matched?: string
}

/** The three ways a log can end; exactly one of them is its last event. */
export type Ending =
  | { readonly type: 'finish'; readonly reason: string; readonly usage?: Usage | null; readonly replayable?: boolean }
  | { readonly type: 'stop'; readonly by: string }
  | {
      readonly type: 'error'
      readonly code: string
      readonly message: string
      readonly retryable?: boolean
      readonly retry_after?: number | null
    }

/** A seam: the answer broke off here, and a further request to a model goes on with it. */
export interface Continued {
  readonly type: 'continued'
  /** Why it broke off: `provider`, `truncated`, `stalled` or `server`. */
  readonly cause: string
  /** How it goes on: `reattach`, `prefill`, `prompt` or `restart`. */
  readonly way: string
  readonly after: string
  readonly attempt?: number
  readonly model?: string
  readonly waited?: number
  /** What a reader has received after this offset is not part of the answer. */
  readonly rewind?: string
}

/** A fact the model produced: the closed union of the native dialect's events. */
export type LogEvent =
  | { readonly type: 'start'; readonly message_id: string; readonly model: string; readonly created?: number; readonly cache?: Cached }
  | { readonly type: 'text-delta'; readonly text: string }
  | { readonly type: 'reasoning-delta'; readonly text: string }
  | { readonly type: 'tool-call-start'; readonly id: string; readonly name: string }
  | { readonly type: 'tool-call-delta'; readonly id: string; readonly arguments: string }
  | { readonly type: 'tool-call-end'; readonly id: string }
  | { readonly type: 'tool-result'; readonly id: string; readonly output: string }
  | { readonly type: 'metadata'; readonly data: Readonly<Record<string, unknown>> }
  | Continued
  | Ending

/** An event with its place in the log. Events of a newer server may have types that are not listed here. */
export interface Entry {
  readonly id: string | undefined
  readonly event: LogEvent
}

/** Reads one `data:` line; throws a `SyntaxError` if it is not one whole event. */
export function parseEvent(data: string): LogEvent {
  const event = JSON.parse(data) as LogEvent | null
  if (typeof event?.type !== 'string') throw new SyntaxError('not an event')
  return event
}

/** Whether this event is the log's last word. */
export function isEnding(event: LogEvent): event is Ending {
  return event.type === 'finish' || event.type === 'stop' || event.type === 'error'
}
