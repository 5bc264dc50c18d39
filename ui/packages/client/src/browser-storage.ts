import type { ChatStorage, SavedChat, Turn } from './chat.js'
import { EMPTY_MESSAGE } from './fold-message.js'

// A browser gives a site about five million characters; half of one is a long evening's talk.
const LIMIT = 500_000
const VERSION = 1

/** Keeps one chat under a key of the browser's storage, bounded: the oldest turns go first. Elsewhere it keeps nothing. */
export function browserStorage(key: string, storage = () => localStorage): ChatStorage {
  return {
    load() {
      try {
        return read(storage().getItem(key))
      } catch {
        // Forbidden or unreadable storage is a chat that was never kept.
        return null
      }
    },
    save(chat) {
      try {
        storage().setItem(key, fit(chat))
      } catch {
        // A full or forbidden storage costs the reload, not the conversation.
      }
    },
  }
}

function fit({ id, turns }: SavedChat): string {
  let kept = turns
  for (;;) {
    const text = JSON.stringify({ version: VERSION, id, turns: kept })
    if (text.length <= LIMIT || kept.length <= 2) return text
    kept = kept.slice(2)
  }
}

function read(text: string | null): SavedChat | null {
  const value = JSON.parse(text ?? 'null') as { version?: unknown; id?: unknown; turns?: unknown } | null
  if (value?.version !== VERSION || typeof value.id !== 'string' || !Array.isArray(value.turns)) return null
  // One turn that a page cannot draw would break it at every visit, so a damaged chat is no chat.
  return value.turns.every(isTurn) ? { id: value.id, turns: value.turns } : null
}

function isTurn(value: unknown): value is Turn {
  if (typeof value !== 'object' || value === null) return false
  const { role, id, text, status, message } = value as Record<string, unknown>
  if (typeof id !== 'string') return false
  if (role === 'user') return typeof text === 'string'
  if (role !== 'assistant' || typeof status !== 'string' || typeof message !== 'object' || message === null) return false
  // A page of a version that knew no seams has kept it.
  if (!('continued' in message)) Object.assign(message, { continued: [] })
  return Object.keys(EMPTY_MESSAGE).every((field) => field in message)
}
