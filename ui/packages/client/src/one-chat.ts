import type { Answer, Turn } from './chat.js'
import { browserStorage } from './browser-storage.js'
import { settle } from './fold-message.js'
import type { LogDescription, Transport } from './transport.js'

/** What is left of the one chat that a page of an earlier version kept in the browser. */
export interface OneChat {
  /** The chat as a file that the server can import; null if there is none. */
  file(transport: Transport): Promise<object | null>
  /** Forgets it: the server has it. */
  done(): void
}

/** Finds the chat that `ChatStore` kept under a key. */
export function createOneChat(key: string, storage: () => Storage = () => localStorage): OneChat {
  return {
    async file(transport) {
      const saved = browserStorage(key, storage).load()
      if (!saved || saved.turns.length === 0) return null
      const turns = await Promise.all(saved.turns.map((turn) => finished(turn, transport)))
      const messages = nodes(turns)
      return { id: saved.id, leaf: messages.at(-1)?.id ?? null, messages }
    },
    done() {
      try {
        storage().removeItem(key)
      } catch {
        // It was read, so it can hardly be forbidden to remove it.
      }
    },
  }
}

/** An answer that was still being written when the page went, as its log has it now. */
async function finished(turn: Turn, transport: Transport): Promise<Turn> {
  if (turn.role === 'user' || turn.message.ending || turn.location === null) return turn
  const log = await transport.get<LogDescription>(turn.location).catch(() => null)
  return log ? { ...turn, message: settle(turn.message, log) } : turn
}

/** The turns as nodes of a tree that has one branch. */
function nodes(turns: readonly Turn[]): Pick<Turn, 'id' | 'role'>[] {
  const found: Pick<Turn, 'id' | 'role'>[] = []
  const created_at = new Date().toISOString()
  for (const turn of turns) {
    const last = found.at(-1)
    const place = { id: turn.id, parent: last?.id ?? null, role: turn.role, created_at }
    // A tree has questions below answers, and answers below questions.
    if (last ? last.role === turn.role : turn.role === 'assistant') continue
    const said = turn.role === 'user' ? { content: turn.text } : stateOf(turn)
    found.push({ ...place, ...said })
  }
  return found
}

function stateOf({ message, cache, timing, producedAt }: Answer): object {
  const { id: _, ...state } = message
  const produced_at = producedAt == null ? null : new Date(producedAt).toISOString()
  return { ...state, cache, timing: timing ?? null, produced_at }
}
