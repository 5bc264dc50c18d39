/** Milliseconds of a frame that formulas may take; the others wait for the next. */
const SLICE = 5

const waiting: (() => void)[] = []
let spent = 0
let frame = 0

/** Runs a job now if this frame has time for it, else in a later one, in the order of their coming. */
export function inSlices(job: () => void): void {
  if (waiting.length > 0 || spent > SLICE) waiting.push(job)
  else timed(job)
  frame ||= requestAnimationFrame(next)
}

function next(): void {
  frame = 0
  spent = 0
  while (waiting.length > 0 && spent <= SLICE) timed(waiting.shift()!)
  if (waiting.length > 0) frame = requestAnimationFrame(next)
}

function timed(job: () => void): void {
  const began = performance.now()
  job()
  spent += performance.now() - began
}
