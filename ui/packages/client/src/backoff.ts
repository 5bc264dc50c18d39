/** Attempts in a row without progress before a reader gives up: with doubling waits, about two minutes. */
export const MAX_FAILURES = 8
const LONGEST_WAIT = 30_000

/** Milliseconds to wait after `failures` failed attempts; `retry` is the server's own, `random` is from 0 to 1. */
export function backoff(failures: number, retry: number, random: number): number {
  // Jitter spreads the readers of a restarted server over half the wait.
  return (Math.min(LONGEST_WAIT, retry * 2 ** (failures - 1)) * (1 + random)) / 2
}

/** Waits as `backoff` says, and gives up after eight failures in a row. */
export function eightTimes(failures: number, retry: number): number | null {
  return failures > MAX_FAILURES ? null : backoff(failures, retry, Math.random())
}
