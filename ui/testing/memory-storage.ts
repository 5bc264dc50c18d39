/** A browser's storage, shared by the tabs that a test opens on it; `full` and `forbidden` make it fail as browsers do. */
export class MemoryStorage implements Storage {
  readonly #kept = new Map<string, string>()
  full = false
  /** Characters that a value may have. */
  limit = Infinity
  forbidden = false

  get length(): number {
    this.#permit()
    return this.#kept.size
  }

  clear(): void {
    this.#kept.clear()
  }

  getItem(key: string): string | null {
    this.#permit()
    return this.#kept.get(key) ?? null
  }

  key(index: number): string | null {
    return [...this.#kept.keys()][index] ?? null
  }

  removeItem(key: string): void {
    this.#permit()
    this.#kept.delete(key)
  }

  setItem(key: string, value: string): void {
    this.#permit()
    if (this.full || value.length > this.limit) throw new DOMException('The quota has been exceeded.', 'QuotaExceededError')
    this.#kept.set(key, value)
  }

  #permit(): void {
    if (this.forbidden) throw new DOMException('The operation is insecure.', 'SecurityError')
  }
}
