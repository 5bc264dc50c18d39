const STEADY = 50
/** What is shown is never further behind than a quarter of a second, unless so much has to be read again each time. */
const SLOW = 250
const SLOWEST = 3000
const LONG = 8000
/** Rendering takes an eighth of the time, where that leaves enough renders. */
const SHARE = 8

let pace = STEADY

/** Milliseconds to leave between two renders of streaming text. */
export function renderPace(): number {
  return pace
}

/** Slows down when so much has to be read again, or a render is so slow, that twenty a second would jam the page. */
export function reportRender({ effort }: { readonly effort: number }, milliseconds: number): void {
  pace = Math.min(Math.max(STEADY, milliseconds * SHARE), effort > LONG ? SLOWEST : SLOW)
}
