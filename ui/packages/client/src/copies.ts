/** Copies of what was read last, by name, for a visit without the server. */
export interface Copies {
  /** Whether anything may be kept: what comes before this is known waits; a no forgets all. */
  allow(may: boolean): void
  get(name: string): Promise<unknown>
  put(name: string, value: object): void
  drop(name: string): void
}

const MOST = 20
const LARGEST = 2_000_000

/** Makes copies in the browser's cache of this name, the last twenty; none where it has no caches. */
export function createCopies(name: string, caches: CacheStorage | undefined = globalThis.caches): Copies {
  const waiting = new Map<string, object>()
  let allowed: boolean | null = null
  // A browser that forbids it, or has no room, shows nothing without the server.
  const attempt = async <T>(act: (cache: Cache) => Promise<T>): Promise<T | null> => {
    try {
      return caches ? await act(await caches.open(name)) : null
    } catch {
      return null
    }
  }
  const address = (name: string) => `https://copies.invalid/${encodeURIComponent(name)}`
  const write = (name: string, value: object) =>
    void attempt(async (cache) => {
      const text = JSON.stringify(value)
      await cache.delete(address(name))
      if (text.length <= LARGEST) await cache.put(address(name), new Response(text))
      const kept = await cache.keys()
      await Promise.all(kept.slice(0, -MOST).map((oldest) => cache.delete(oldest)))
    })
  return {
    allow(may) {
      if (may === allowed) return
      allowed = may
      if (may) for (const [name, value] of waiting) write(name, value)
      else void caches?.delete(name).catch(() => undefined)
      waiting.clear()
    },
    get: (name) => attempt(async (cache) => (await cache.match(address(name)))?.json() ?? null),
    put(name, value) {
      if (allowed) write(name, value)
      else if (allowed === null) {
        waiting.set(name, value)
        if (waiting.size > MOST) waiting.delete([...waiting.keys()][0]!)
      }
    },
    drop(name) {
      waiting.delete(name)
      void attempt((cache) => cache.delete(address(name)))
    },
  }
}
