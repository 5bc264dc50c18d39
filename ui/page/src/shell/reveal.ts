import type { Conversation } from '@headwater/client/conversations'

// A chat that is not there by then is shown as it is.
const PATIENCE = 10_000
const LANDING = 100

/** Shows the turn of a chat that a search has found: its branch, once the chat is loaded, and its place. */
export function reveal({ subscribe, getSnapshot, choose }: Conversation, turn: string): void {
  const due = Date.now() + PATIENCE
  const show = () => {
    const shown = document.querySelector(`[data-turn="${CSS.escape(turn)}"]`)
    if (shown) shown.scrollIntoView({ block: 'start' })
    // What shows turns may have to be loaded first.
    else if (Date.now() < due) setTimeout(show, LANDING)
  }
  const ready = () => {
    const { state, turns } = getSnapshot()
    if (state === 'loading') return false
    if (state !== 'ready') return true
    if (!turns.some(({ id }) => id === turn)) choose(turn)
    // After the view of the chat has found its own place.
    setTimeout(show, LANDING)
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
