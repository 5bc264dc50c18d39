import { advance, EMPTY_MESSAGE, settle, type Progress } from './fold-message.js'
import { readLog, type Outcome } from './log-reader.js'
import type { WakeSource } from './patience.js'
import { createPublisher } from './publisher.js'
import type { Transport } from './transport.js'

/** One log as it stands here: the answer so far and the entry it reaches to always belong together. */
export interface LogSnapshot extends Progress {
  readonly connection: 'connecting' | 'live' | 'reconnecting' | 'closed'
  readonly outcome: Outcome | null
}

/** A log to follow, and from where. */
export interface LiveLogOptions {
  readonly transport: Transport
  readonly location: string
  /** What is known already, e.g. from before a reload. */
  readonly known?: Progress
  readonly wakes?: WakeSource | undefined
  /** Milliseconds between two notifications; read anew each time. */
  readonly pace?: (() => number) | undefined
}

/** One log as an external store: subscribe, getSnapshot, open, close. */
export type LiveLog = ReturnType<typeof createLiveLog>

/** Makes a store that follows one log; nothing is read before `open`. */
export function createLiveLog(options: LiveLogOptions) {
  const publisher = createPublisher(options.pace)
  let abort: AbortController | null = null
  const known: Progress = options.known ?? { message: EMPTY_MESSAGE, cursor: null }
  let snapshot: LogSnapshot = { ...known, connection: 'connecting', outcome: null }
  const change = (part: Partial<LogSnapshot>, when: 'soon' | 'now') => {
    snapshot = { ...snapshot, ...part }
    publisher[when]()
  }

  return {
    subscribe: publisher.subscribe,
    getSnapshot: publisher.published(() => snapshot),
    /** Reads on from the cursor until the ending; resolves with why it stopped. */
    async open(): Promise<Outcome> {
      abort?.abort()
      const { signal } = (abort = new AbortController())
      change({ connection: 'connecting', outcome: null }, 'now')
      const { transport, location, wakes } = options
      const outcome = await readLog({
        transport,
        location,
        wakes,
        signal,
        onEntries: (entries) => change(advance(snapshot, entries), 'soon'),
        cursor: snapshot.cursor,
        onConnection: (connection) => change({ connection }, 'now'),
      })
      // Closed here, or opened anew: this reader no longer speaks for the log.
      if (signal.aborted) return { type: 'closed' }
      const message = outcome.type === 'settled' ? settle(snapshot.message, outcome.log) : snapshot.message
      change({ message, connection: 'closed', outcome }, 'now')
      return outcome
    },
    /** Stops reading; the log itself goes on. */
    close() {
      abort?.abort()
      change({ connection: 'closed' }, 'now')
    },
  }
}
