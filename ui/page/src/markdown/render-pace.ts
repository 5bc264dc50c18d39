const STEADY = 50
const SLOW = 150
const LONG = 8000
const FRAME = 16

let pace = STEADY

/** Milliseconds to leave between two renders of streaming text. */
export function renderPace(): number {
  return pace
}

/** Slows down when so much has to be read again, or a render is so slow, that twenty a second would jam the page. */
export function reportRender({ effort }: { readonly effort: number }, milliseconds: number): void {
  pace = effort > LONG || milliseconds > FRAME ? SLOW : STEADY
}
