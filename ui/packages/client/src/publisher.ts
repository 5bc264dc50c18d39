/** Notifies subscribers of changes, often enough for the eye and no oftener. */
export interface Publisher {
  /** Has the signature `useSyncExternalStore` wants. */
  readonly subscribe: (listener: () => void) => () => void
  /** Has the signature `useSyncExternalStore` wants: what was made when it was first asked for after the latest publication. */
  readonly published: <T>(make: () => T) => () => T
  /** Publishes at once, or when the current interval is over. */
  soon(): void
  /** Publishes at once. */
  now(): void
}

/** Fifty milliseconds: twenty renders a second read as continuous and leave the main thread to the reader. */
export const DEFAULT_PACE = 50

/** Makes a publisher; the interval is read each time, so it can follow the load. */
export function createPublisher(pace: () => number = () => DEFAULT_PACE): Publisher {
  const listeners = new Set<() => void>()
  let timer: ReturnType<typeof setTimeout> | undefined
  let published = -Infinity
  const now = () => {
    clearTimeout(timer)
    timer = undefined
    published = performance.now()
    for (const listener of listeners) listener()
  }
  return {
    subscribe(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    published(make) {
      // React renders once more whenever what it has shown is not what it is given a moment later.
      let made: ReturnType<typeof make> | undefined
      listeners.add(() => (made = undefined)) // before all that read it
      return () => (made ??= make())
    },
    soon() {
      const wait = published + pace() - performance.now()
      if (wait > 0) timer ??= setTimeout(now, wait)
      else now()
    },
    now,
  }
}
