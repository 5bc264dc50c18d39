import type { Entry } from './events.js'
import { EMPTY_MESSAGE, fold, settle, type Message } from './fold-message.js'
import { readLog, type Outcome } from './log-reader.js'
import type { WakeSource } from './patience.js'
import { createPublisher } from './publisher.js'
import type { LogDescription, Transport } from './transport.js'

/** One log as it stands here: the answer so far and the entry it reaches to always belong together. */
export interface LogSnapshot {
  readonly message: Message
  readonly cursor: string | null
  readonly connection: 'connecting' | 'live' | 'reconnecting' | 'closed'
  readonly outcome: Outcome | null
}

/** A log to follow, and from where. */
export interface LiveLogOptions {
  readonly transport: Transport
  readonly location: string
  readonly response?: Response | undefined
  /** What is known already, e.g. from before a reload. */
  readonly known?: Pick<LogSnapshot, 'message' | 'cursor'>
  readonly wakes?: WakeSource | undefined
  /** Milliseconds between two notifications; read anew each time. */
  readonly pace?: (() => number) | undefined
}

/** One log as an external store: subscribe, getSnapshot, open, close. */
export type LiveLog = ReturnType<typeof createLiveLog>

/** Makes a store that follows one log; nothing is read before `open`. */
export function createLiveLog(options: LiveLogOptions) {
  const publisher = createPublisher(options.pace)
  let response = options.response
  let abort: AbortController | null = null
  const { message = EMPTY_MESSAGE, cursor = null } = options.known ?? {}
  let snapshot: LogSnapshot = { message, cursor, connection: 'connecting', outcome: null }
  const change = (part: Partial<LogSnapshot>, when: 'soon' | 'now') => {
    snapshot = { ...snapshot, ...part }
    publisher[when]()
  }
  const onEntries = (entries: readonly Entry[]) => {
    let { message, cursor } = snapshot
    for (const { id, event } of entries) {
      if (event) message = fold(message, event)
      cursor = id ?? cursor
    }
    change({ message, cursor }, 'soon')
  }

  return {
    subscribe: publisher.subscribe,
    getSnapshot: () => snapshot,
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
        response,
        signal,
        onEntries,
        cursor: snapshot.cursor,
        onConnection: (connection) => change({ connection }, 'now'),
      })
      response = undefined
      // Closed here, or opened anew: this reader no longer speaks for the log.
      if (signal.aborted) return { type: 'closed' }
      const message = outcome.type === 'settled' ? settle(snapshot.message, outcome.log) : snapshot.message
      change({ message, connection: 'closed', outcome }, 'now')
      return outcome
    },
    /** Takes the server's summary for the answer and stops reading. */
    settle(log: LogDescription) {
      abort?.abort()
      change({ message: settle(snapshot.message, log), connection: 'closed', outcome: { type: 'settled', log } }, 'now')
    },
    /** Stops reading; the log itself goes on. */
    close() {
      abort?.abort()
      change({ connection: 'closed' }, 'now')
    },
  }
}
