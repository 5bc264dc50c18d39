/** Notifies subscribers of changes, often enough for the eye and no oftener. */
export interface Publisher {
  /** Has the signature `useSyncExternalStore` wants. */
  readonly subscribe: (listener: () => void) => () => void
  /** Publishes at once, or when the current interval is over. */
  soon(): void
  /** Publishes at once. */
  now(): void
}

/** Fifty milliseconds: twenty renders a second read as continuous and leave the main thread to the reader. */
export const DEFAULT_PACE = 50

/** Makes a publisher with leading and trailing edge; the interval is read each time, so it can follow the load. */
export function createPublisher(pace: () => number = () => DEFAULT_PACE): Publisher {
  const listeners = new Set<() => void>()
  let timer: ReturnType<typeof setTimeout> | undefined
  let again = false
  const publish = () => {
    for (const listener of listeners) listener()
  }
  const rest = () => {
    timer = setTimeout(() => {
      timer = undefined
      if (!again) return
      again = false
      publish()
      rest()
    }, pace())
  }
  return {
    subscribe(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    soon() {
      if (timer !== undefined) {
        again = true
        return
      }
      publish()
      rest()
    },
    now() {
      clearTimeout(timer)
      timer = undefined
      again = false
      publish()
    },
  }
}
