import type { ConversationSummary } from './conversations-types.js'
import type { Link } from './link.js'
import { delay } from './patience.js'
import type { Requests } from './requests.js'
import type { Shelf } from './shelf.js'
import { ProblemError } from './transport.js'

/** How long a deletion can be undone, in ms. */
export const UNDO = 8000

const SHELF = 'removed:'

interface Removed {
  readonly summary: ConversationSummary
  readonly due: number
}

/** Conversations that are hidden here and deleted on the server a little later; kept over a reload until that is done. */
export interface Deletions {
  has(id: string): boolean
  list(): readonly ConversationSummary[]
  add(summary: ConversationSummary): void
  restore(id: string): void
  /** Takes in what another tab, or this one before a reload, has begun; `settled` is what that tab has deleted. */
  look(settled?: string | null): void
  /** Deletes at once: the page goes. */
  flush(): void
}

/** What has become of a conversation: `settled` is deleted, and of one that came back `elsewhere` the server knows more. */
export type Removal = 'hidden' | 'restored' | 'elsewhere' | 'settled'

/** Makes the deletions of a page; what is due when `life` ends waits in the storage. */
export function createDeletions(shelf: Shelf, requests: Requests, link: Link, life: AbortSignal, changed: (id: string, how: Removal) => void): Deletions {
  const removed = new Map<string, Removed>()
  const timers = new Map<string, ReturnType<typeof setTimeout>>()
  const end = (id: string, how: Removal) => {
    clearTimeout(timers.get(id))
    timers.delete(id)
    removed.delete(id)
    shelf.drop(SHELF + id)
    changed(id, how)
  }
  const run = async (id: string) => {
    while (removed.has(id) && !life.aborted) {
      try {
        await requests.remove(id)
        link.ok()
        return end(id, 'settled')
      } catch (error) {
        // One that the server does not have is deleted, and one that it will not delete comes back.
        if (error instanceof ProblemError && !error.retryable) return end(id, [404, 410].includes(error.status) ? 'settled' : 'elsewhere')
        await delay(link.failed(), life, link.wakes)
      }
    }
  }
  const schedule = (id: string, { due }: Removed) => timers.set(id, setTimeout(() => void run(id), Math.max(0, due - Date.now())))
  life.addEventListener('abort', () => timers.forEach(clearTimeout))
  return {
    has: (id) => removed.has(id),
    // One that the server was told of when a page went cannot be undone any more.
    list: () => [...removed.values()].filter(({ due }) => due > 0).map(({ summary }) => summary),
    add(summary) {
      const { id } = summary
      if (removed.has(id)) return
      const entry = { summary, due: Date.now() + UNDO }
      shelf.put(SHELF + id, entry)
      removed.set(id, entry)
      schedule(id, entry)
      changed(id, 'hidden')
    },
    restore: (id) => void (removed.has(id) && end(id, 'restored')),
    look(settled) {
      const kept = shelf.names(SHELF).map((name) => name.slice(SHELF.length))
      for (const id of kept) {
        const entry = shelf.get<Removed>(SHELF + id) as Removed | null
        if (typeof entry?.summary?.id !== 'string' || (removed.get(id)?.due ?? Infinity) <= entry.due) continue
        clearTimeout(timers.get(id))
        removed.set(id, entry)
        schedule(id, entry)
        changed(id, 'hidden')
      }
      for (const id of removed.keys()) if (!kept.includes(id)) end(id, id === settled ? 'settled' : 'elsewhere')
    },
    flush() {
      // The key stays: whether the server heard it is not known before the next visit.
      for (const [id, { summary, due }] of removed) {
        if (due === 0) continue
        const told = { summary, due: 0 }
        shelf.put(SHELF + id, told)
        removed.set(id, told)
        void requests.remove(id, true).catch(() => undefined)
      }
    },
  }
}
