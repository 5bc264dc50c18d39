import type { Job } from './highlight-worker'
import type { Runs } from './tokens'

/** What is longer stays plain: nobody reads it by its colours. */
export const LONGEST = 100_000
// A grammar that takes longer has run into a pathological text.
const PATIENCE = 5000

interface Waiting {
  readonly job: Job
  readonly done: (runs: Runs | null) => void
}

let worker: Worker | null = null
let timer: ReturnType<typeof setTimeout> | undefined
let jobs = 0
const waiting: Waiting[] = []

/** The coloured runs of a code, found in a worker one code at a time; null where there are none to be had. */
export function highlight(code: string, language: string): Promise<Runs | null> {
  if (code.length > LONGEST || typeof Worker === 'undefined') return Promise.resolve(null)
  return new Promise((done) => {
    waiting.push({ job: { id: jobs++, code, language }, done })
    if (waiting.length === 1) next()
  })
}

function next(): void {
  clearTimeout(timer)
  const [first] = waiting
  if (!first) return
  worker ??= start()
  timer = setTimeout(fail, PATIENCE)
  worker.postMessage(first.job)
}

function start(): Worker {
  const begun = new Worker(new URL('./highlight-worker.ts', import.meta.url), { type: 'module' })
  begun.onmessage = ({ data }: MessageEvent<{ id: number; runs: Runs }>) => {
    if (data.id !== waiting[0]?.job.id) return
    waiting.shift()!.done(data.runs)
    next()
  }
  begun.onerror = fail
  return begun
}

/** The code in work stays plain; the others get a fresh worker. */
function fail(): void {
  worker?.terminate()
  worker = null
  waiting.shift()?.done(null)
  next()
}
