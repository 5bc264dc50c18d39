import { KINDS, type Runs } from './tokens'

/** Lines that are laid out, and coloured, together. */
export const PART = 40
// Milliseconds; a slice leaves most of a frame to its layout and everything else.
const SLICE = 4

/** Cuts a code into parts of whole lines; joined they are the code. */
export function partsOf(code: string): string[] {
  const lines = code.split(/(?<=\n)/)
  const parts: string[] = []
  for (let at = 0; at < lines.length; at += PART) parts.push(lines.slice(at, at + PART).join(''))
  return parts
}

/** Puts colours on a code that is shown in parts, some parts at a time, without a change of its text. */
export async function paint(parts: ArrayLike<Element>, runs: Runs, signal: AbortSignal): Promise<void> {
  let run = 0
  let left = runs[0] ?? 0
  let began = performance.now()
  for (let index = 0; index < parts.length; index++) {
    if (performance.now() - began > SLICE) {
      // What is coloured is laid out before there is more of it.
      await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))
      began = performance.now()
    }
    const part = parts[index]!
    const text = part.textContent ?? ''
    if (signal.aborted) return
    const coloured = document.createDocumentFragment()
    for (let at = 0; at < text.length && run < runs.length; ) {
      const length = Math.min(left, text.length - at)
      coloured.append(piece(text.slice(at, at + length), runs[run + 1] ?? 0))
      at += length
      left -= length
      if (left === 0) left = runs[(run += 2)] ?? 0
    }
    // Whatever the highlighter says, the text stays what it was.
    if (coloured.textContent === text) part.replaceChildren(coloured)
  }
}

function piece(text: string, kind: number): Node {
  if (kind === 0) return document.createTextNode(text)
  const span = document.createElement('span')
  span.className = `t-${KINDS[kind]}`
  span.textContent = text
  return span
}
