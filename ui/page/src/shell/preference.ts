import { useSyncExternalStore } from 'react'

/** One choice of the person, kept in this browser and told to its other tabs. */
export interface Preference<T extends string> {
  readonly get: () => T
  readonly set: (value: T) => void
  readonly subscribe: (listener: () => void) => () => void
}

/** Keeps one of `values` under a key of the browser's storage; `standard` is what holds until one is chosen. */
export function preference<T extends string>(key: string, values: readonly T[], standard: () => T): Preference<T> {
  const listeners = new Set<() => void>()
  // Where storage is forbidden the choice lasts as long as the page.
  let kept: string | null = null
  const read = () => {
    try {
      return localStorage.getItem(key)
    } catch {
      return kept
    }
  }
  return {
    get: () => values.find((value) => value === read()) ?? standard(),
    set(value) {
      kept = value
      try {
        localStorage.setItem(key, value)
      } catch {
        // See above.
      }
      for (const listener of listeners) listener()
    },
    subscribe(listener) {
      const onStorage = (event: StorageEvent) => event.key === key && listener()
      listeners.add(listener)
      window.addEventListener('storage', onStorage)
      return () => {
        listeners.delete(listener)
        window.removeEventListener('storage', onStorage)
      }
    },
  }
}

/** The value of a preference, and its setter. */
export function usePreference<T extends string>({ get, set, subscribe }: Preference<T>): readonly [T, (value: T) => void] {
  return [useSyncExternalStore(subscribe, get), set]
}

/** Whether the list of chats stands beside the chat where there is room. */
export const sidebarPreference = preference('headwater.sidebar', ['open', 'closed'], () => 'open')

/** Whether a hidden tab says by a notification that its answer is done; the chat offers it while nobody has said. */
export const notifyPreference = preference('headwater.notify', ['yes', 'no', 'unsaid'], () => 'unsaid')
