const STEADY = 50
const SLOW = 150
const LONG = 8000
const FRAME = 16
/** Rendering takes a fifth of the time at most, until this is the pace. */
const SLOWEST = 3000

let pace = STEADY

/** Milliseconds to leave between two renders of streaming text. */
export function renderPace(): number {
  return pace
}

/** Slows down when so much has to be read again, or a render is so slow, that twenty a second would jam the page. */
export function reportRender({ effort }: { readonly effort: number }, milliseconds: number): void {
  const slow = Math.max(SLOW, Math.min(milliseconds * 4, SLOWEST))
  pace = effort > LONG || milliseconds > FRAME ? slow : STEADY
}
