import type { Conversation } from '@headwater/client/conversations'

// A chat that is not there by then is shown as it is.
const PATIENCE = 10_000

/** Shows the turn of a chat that a search has found: its branch, once the chat is loaded, and its place. */
export function reveal({ subscribe, getSnapshot, choose }: Conversation, turn: string): void {
  const ready = () => {
    const { state, turns } = getSnapshot()
    if (state === 'loading') return false
    if (state !== 'ready') return true
    if (!turns.some(({ id }) => id === turn)) choose(turn)
    // After the view of the chat has found its own place.
    setTimeout(() => document.querySelector(`[data-turn="${CSS.escape(turn)}"]`)?.scrollIntoView({ block: 'start' }), 100)
    return true
  }
  if (ready()) return
  const leave = subscribe(() => ready() && end())
  const timer = setTimeout(() => end(), PATIENCE)
  const end = () => {
    clearTimeout(timer)
    leave()
  }
}
