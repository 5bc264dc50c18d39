import { memo, useLayoutEffect, useRef } from 'react'
import { readFormula } from './tree'
import { inSlices } from './slices'
import type { typeset } from './typeset'

type Typeset = typeof typeset

let loaded: Typeset | null = null
let loading: Promise<Typeset> | null = null

/** KaTeX, which comes with the first formula. A load that failed is tried again by the next one. */
function load(): Promise<Typeset> {
  loading ??= import('./typeset').then(
    (module) => (loaded = module.typeset),
    (error: unknown) => {
      loading = null
      throw error
    },
  )
  return loading
}

/** A formula: its exact source until KaTeX is there, and for good where KaTeX cannot read it. */
export const Formula = memo(function Formula({ source }: { source: string }) {
  const { tex, display } = readFormula(source)
  const element = useRef<HTMLSpanElement>(null)
  useLayoutEffect(() => {
    const shown = element.current
    if (shown === null || tex === null) return
    let left = false
    const show = (typeset: Typeset) => {
      if (left) return
      try {
        shown.replaceChildren(typeset(tex, display))
        shown.dataset['state'] = 'shown'
      } catch {
        shown.dataset['state'] = 'failed'
      }
    }
    if (loaded) inSlices(() => loaded && show(loaded))
    else void load().then((typeset) => inSlices(() => show(typeset)), () => undefined)
    return () => {
      left = true
    }
    // Another source is another element, also where it means the same formula.
  }, [source, tex, display])
  // KaTeX's elements are not React's.
  return (
    <span key={source} ref={element} className="formula" dir="ltr" data-display={display || undefined}>
      {source.trim()}
    </span>
  )
})
