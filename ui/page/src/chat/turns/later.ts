import { useEffect, useReducer } from 'react'
import type { TurnList } from './turn-list'

const RETRY = 3000

let loaded: typeof TurnList | null = null

/** The list of turns, with the Markdown in it: a third of the page, which nobody needs who only begins to write. */
export async function loadTurnList(): Promise<void> {
  loaded ??= (await import('./turn-list')).TurnList
}

/** What shows turns; null until it is loaded. A load that failed is tried again. */
export function useTurnList(): typeof TurnList | null {
  const [, again] = useReducer((count: number) => count + 1, 0)
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined
    let left = false
    const load = () =>
      void loadTurnList().then(
        () => left || again(),
        () => left || (timer = setTimeout(load, RETRY)),
      )
    if (!loaded) load()
    return () => {
      left = true
      clearTimeout(timer)
    }
  }, [])
  return loaded
}
