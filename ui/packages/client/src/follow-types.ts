/** What a tab asks of the shared worker; `key` names one reading of one log. */
export type Wish =
  | { readonly type: 'read'; readonly key: number; readonly base: string; readonly log: string; readonly cursor: string | null }
  | { readonly type: 'leave'; readonly key: number }
  /** A lock that the tab holds as long as it lives. */
  | { readonly type: 'lock'; readonly name: string }
  /** A sign of life, where there are no locks. */
  | { readonly type: 'ping' }
  | { readonly type: 'bye' }

/** What the shared worker tells a tab. `beat` is a sign of life; `lost` is a broken connection, after `full` the log is read directly. */
export type News =
  | { readonly type: 'heard' | 'open' | 'beat' | 'settled' | 'end' | 'lost' | 'full'; readonly key: number }
  | { readonly type: 'frame'; readonly key: number; readonly text: string }
  | { readonly type: 'refused'; readonly key: number; readonly problem: Refused }

/** Why a log cannot be read. */
export interface Refused {
  readonly status: number
  readonly code: string
  readonly message: string
  readonly retryable: boolean
}

/** The side of a message port that both ends use. */
export interface Port {
  postMessage(message: unknown): void
  onmessage: ((event: MessageEvent) => void) | null
  start?(): void
}
