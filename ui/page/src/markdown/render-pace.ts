const STEADY = 50
const SLOW = 150
const SLOWEST = 3000
const LONG = 8000
/** Rendering takes an eighth of the time at most, so that the rest of the page stays smooth on a slow machine. */
const SHARE = 8

let pace = STEADY

/** Milliseconds to leave between two renders of streaming text. */
export function renderPace(): number {
  return pace
}

/** Slows down when so much has to be read again, or a render is so slow, that twenty a second would jam the page. */
export function reportRender({ effort }: { readonly effort: number }, milliseconds: number): void {
  const least = effort > LONG ? SLOW : STEADY
  pace = Math.min(Math.max(least, milliseconds * SHARE), SLOWEST)
}
