// Of six connections that a browser opens to a server over HTTP/1.1, two are left for questions and lists.
const SLOTS = 4

/** A place among the connections of this browser: `lost` aborts when another tab takes it, `free` gives it back. */
export interface Slot {
  readonly lost: AbortSignal
  free(): void
}

/** What is used of the browser's locks, which all tabs of an origin share. */
export type Locks = Pick<LockManager, 'request'>

/**
 * Takes one of the connections on which answers may be read directly. A tab that is looked at takes the place of
 * another one if it must; one in the background waits for a place. Rejects when `signal` aborts.
 */
export async function takeSlot(locks: Locks, hidden: () => boolean, signal: AbortSignal): Promise<Slot> {
  const names = Array.from({ length: SLOTS }, (_, number) => `headwater-read-${number}`)
  for (const name of names) {
    const slot = await hold(locks, name, { ifAvailable: true })
    if (slot) return slot
  }
  const name = names[Math.floor(Math.random() * SLOTS)]!
  return (await hold(locks, name, hidden() ? { signal } : { steal: true }))!
}

/** Holds a lock until it is given back; null if it is not available. */
function hold(locks: Locks, name: string, options: LockOptions): Promise<Slot | null> {
  return new Promise((resolve, reject) => {
    const stolen = new AbortController()
    const holding = (lock: Lock | null) =>
      new Promise<void>((free) => {
        if (lock) resolve({ lost: stolen.signal, free })
        else resolve((free(), null))
      })
    locks.request(name, options, holding).catch((reason: unknown) => {
      // Before it was held, this is the reader's leaving; after that, another tab's coming.
      reject(reason)
      stolen.abort(new TypeError('Another tab needs the connection.'))
    })
  })
}

/** The response, which keeps the slot until its body has ended, failed or been left. */
export function withSlot(response: Response, slot: Slot): Response {
  if (!response.body) {
    slot.free()
    return response
  }
  const reader = response.body.getReader()
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      slot.lost.addEventListener('abort', () => {
        controller.error(slot.lost.reason)
        void reader.cancel().catch(() => undefined)
      })
    },
    async pull(controller) {
      try {
        const { done, value } = await reader.read()
        if (!done) return controller.enqueue(value)
        slot.free()
        controller.close()
      } catch (error) {
        slot.free()
        // After a loss it is in error already.
        if (!slot.lost.aborted) controller.error(error)
      }
    },
    async cancel(reason) {
      slot.free()
      await reader.cancel(reason)
    },
  })
  const { status, headers } = response
  return new Response(body, { status, headers })
}
