import type { Connection } from './conversations-types.js'
import { pageWakes, type WakeSource } from './patience.js'
import { createPublisher } from './publisher.js'
import type { Transport } from './transport.js'

// A person who looks at the page should have it back within two seconds of the server.
const FIRST = 300
const WATCHED = 1500
const LONG = 10_000
const HIDDEN = 30_000
/** How long an attempt may wait for an answer while the server is away. */
export const HURRY = 4000
// What has been away for minutes may be away for long, and many pages ask for it.
const RECENT = 5 * 60_000

/** How the page stands to its server: everything that asks for something tells it how that went. */
export interface Link {
  readonly subscribe: (listener: () => void) => () => void
  readonly state: () => Connection
  /** The server has answered: whatever waits tries again at once. */
  ok(): void
  /** The server has not answered; returns how long to wait, in ms. `least` is the wait that the server asks for. */
  failed(least?: number): number
  /** Moments at which waiting should end: `wake`, the end of an outage, and the page's own. */
  readonly wakes: WakeSource
  wake(): void
}

/** Reads logs with little patience while the server is away: an attempt that hangs must not outlast its return. */
export function hurried(transport: Transport, link: Link): Transport {
  return {
    ...transport,
    async read(location, cursor, signal) {
      if (link.state().state === 'live') return transport.read(location, cursor, signal)
      const hurry = new AbortController()
      const timer = setTimeout(() => hurry.abort(), HURRY)
      try {
        return await transport.read(location, cursor, AbortSignal.any([signal, hurry.signal]))
      } finally {
        clearTimeout(timer)
      }
    },
  }
}

/** What a link knows of its surroundings; a test replaces them. */
export interface LinkOptions {
  readonly wakes?: WakeSource | undefined
  readonly hidden?: () => boolean
  readonly online?: () => boolean
}

/** Makes the link of a page; it begins as `live`. */
export function createLink({ wakes = pageWakes, hidden = isHidden, online = isOnline }: LinkOptions = {}): Link {
  const publisher = createPublisher(() => 0)
  const waiting = new Set<() => void>()
  let since: number | null = null
  let connection: Connection = { state: 'live', retryAt: null }
  const show = (next: Connection) => {
    connection = next
    publisher.now()
  }
  const wake = () => {
    // A listener that is called may begin to wait anew.
    for (const listener of Array.from(waiting)) listener()
  }
  // Who comes back to the page should not have to wait because the outage is old.
  const renew = () => {
    if (since !== null) since = Date.now()
  }
  wakes(renew)
  return {
    subscribe: publisher.subscribe,
    state: () => connection,
    ok() {
      if (since === null) return
      since = null
      show({ state: 'live', retryAt: null })
      wake()
    },
    failed(least = 0) {
      const now = Date.now()
      since ??= now
      const wait = Math.max(least, pause(now - since, hidden()) * (0.8 + Math.random() / 5))
      const due = connection.retryAt !== null && connection.retryAt > now ? Math.min(connection.retryAt, now + wait) : now + wait
      show({ state: online() ? 'reconnecting' : 'offline', retryAt: Math.round(due) })
      return wait
    },
    wakes(listener) {
      waiting.add(listener)
      const sleep = wakes(listener)
      return () => {
        waiting.delete(listener)
        sleep()
      }
    },
    wake() {
      renew()
      wake()
    },
  }
}

/** The longest wait before the next attempt, in ms, by how long the server has been away. */
export function pause(away: number, hidden: boolean): number {
  if (away < FIRST) return FIRST
  if (hidden) return HIDDEN
  return away < RECENT ? WATCHED : LONG
}

function isHidden(): boolean {
  return globalThis.document?.hidden ?? false
}

function isOnline(): boolean {
  return globalThis.navigator?.onLine ?? true
}
