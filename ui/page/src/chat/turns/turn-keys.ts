/** Where the keyboard goes among the turns of a conversation. */
export interface TurnKeys {
  readonly turns: () => readonly HTMLElement[]
  readonly box: () => HTMLElement | null
}

/**
 * Alt+↑ and Alt+↓ go from turn to turn, F6 between the newest turn and the question box, Shift+Esc to the box.
 * True when the key was one of these.
 */
export function moveByKey(event: KeyboardEvent, { turns, box }: TurnKeys): boolean {
  if (event.key === 'Escape' && event.shiftKey) return went(box())
  if (event.key === 'F6' && !event.ctrlKey) return went(document.activeElement === box() ? (turns().at(-1) ?? null) : box())
  if (!event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || (event.key !== 'ArrowUp' && event.key !== 'ArrowDown')) return false
  const all = turns()
  const { activeElement } = document
  // In a text these keys move by paragraphs on a Mac.
  if (activeElement instanceof HTMLTextAreaElement && activeElement.value !== '') return false
  const at = all.findIndex((turn) => turn.contains(activeElement))
  const wanted = event.key === 'ArrowUp' ? (at === -1 ? all.length : at) - 1 : at === -1 ? all.length : at + 1
  return went(wanted === all.length ? box() : (all[wanted] ?? null))
}

function went(element: HTMLElement | null): boolean {
  element?.focus({ preventScroll: true })
  element?.scrollIntoView({ block: element instanceof HTMLTextAreaElement ? 'nearest' : 'start' })
  return element !== null
}
