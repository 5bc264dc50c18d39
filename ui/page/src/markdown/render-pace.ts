import type { Blocks } from './split-blocks'

const STEADY = 50
const SLOW = 150
const LONG_BLOCK = 8000
const FRAME = 16

let pace = STEADY

/** Milliseconds to leave between two renders of streaming text. */
export function renderPace(): number {
  return pace
}

/** Slows down when one block has grown so long, or a render so slow, that twenty a second would jam the page. */
export function reportRender({ blocks }: Blocks, milliseconds: number): void {
  pace = (blocks.at(-1)?.length ?? 0) > LONG_BLOCK || milliseconds > FRAME ? SLOW : STEADY
}
