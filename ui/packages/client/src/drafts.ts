import type { Shelf } from './shelf.js'

/** What was typed and not sent, by conversation. */
export interface Drafts {
  get(id: string): string
  /** An empty text forgets the draft. */
  keep(id: string, text: string): void
}

/** What the names of drafts begin with, before the id of their chat. */
export const DRAFT = 'draft:'
const LIFE = 30 * 24 * 3_600_000

/** Makes drafts that live for thirty days on a shelf. */
export function createDrafts(shelf: Shelf): Drafts {
  const read = (name: string) => {
    const { text, at } = shelf.get<{ text: string; at: number }>(name) ?? {}
    return typeof text === 'string' && typeof at === 'number' ? { text, at } : { text: '', at: 0 }
  }
  for (const name of shelf.names(DRAFT)) if (Date.now() - read(name).at > LIFE) shelf.drop(name)
  return {
    get: (id) => read(DRAFT + id).text,
    keep(id, text) {
      if (text === '') shelf.drop(DRAFT + id)
      else shelf.put(DRAFT + id, { text, at: Date.now() })
    },
  }
}
