/** Small objects by name in the browser's storage, each under a key of its own, so that no tab overwrites another's. */
export interface Shelf {
  /** Null where there is none that can be read. Its fields are as they were found. */
  get<T extends object>(name: string): Partial<T> | null
  /** False when the storage is full or forbidden: the object is kept until the page goes, and `less` after that. */
  put(name: string, value: object, less?: object): boolean
  drop(name: string): void
  /** The names that begin like this. */
  names(prefix: string): string[]
}

/** Makes a shelf whose keys begin with `prefix`; `storage` may throw where the browser forbids it. */
export function createShelf(prefix: string, storage: () => Storage = () => localStorage): Shelf {
  const spare = new Map<string, string>()
  const attempt = <T>(act: (storage: Storage) => T, otherwise: T): T => {
    try {
      return act(storage())
    } catch {
      return otherwise
    }
  }
  return {
    get(name) {
      const text = spare.get(name) ?? attempt((kept) => kept.getItem(prefix + name), null)
      try {
        return JSON.parse(text ?? 'null')
      } catch {
        // What is damaged is as if it had never been kept.
        return null
      }
    },
    put(name, value, less) {
      const set = (value: object) => attempt((kept) => (kept.setItem(prefix + name, JSON.stringify(value)), true), false)
      const kept = set(value)
      if (kept) spare.delete(name)
      else spare.set(name, JSON.stringify(value))
      if (!kept && less !== undefined) set(less)
      return kept
    },
    drop(name) {
      spare.delete(name)
      attempt((kept) => kept.removeItem(prefix + name), undefined)
    },
    names(begin) {
      const found = attempt((kept) => Array.from({ length: kept.length }, (_, index) => kept.key(index)!), [])
      const kept = found.flatMap((key) => (key.startsWith(prefix + begin) ? [key.slice(prefix.length)] : []))
      return [...new Set([...kept, ...[...spare.keys()].filter((name) => name.startsWith(begin))])]
    },
  }
}
