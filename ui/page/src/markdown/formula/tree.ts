import type { Literal } from 'mdast'
import type { Extension as TreeExtension } from 'mdast-util-from-markdown'

/** A formula in the tree, signs included. */
interface FormulaNode extends Literal {
  readonly type: 'formula'
}

declare module 'mdast' {
  interface RootContentMap {
    formula: FormulaNode
  }
  interface PhrasingContentMap {
    formula: FormulaNode
  }
}

/** A formula's opening sign; what follows it up to the closing sign is TeX. */
const OPENING = /^(?:\$\$|\\\[|\\\(|\$)/
const CLOSING: Readonly<Record<string, string>> = { $: '$', $$: '$$', '\\(': '\\)', '\\[': '\\]' }

/** A formula as it stands in the text; `tex` is null while its end is missing. */
export interface Written {
  readonly source: string
  readonly tex: string | null
  readonly display: boolean
}

/** Takes a formula apart. */
export function readFormula(written: string): Written {
  const source = written.trimEnd()
  const opening = OPENING.exec(source)?.[0] ?? ''
  const closing = CLOSING[opening] ?? ''
  const whole = opening !== '' && source.length > opening.length + closing.length && source.endsWith(closing)
  const tex = whole ? source.slice(opening.length, -closing.length) : null
  return { source: written, tex, display: opening === '$$' || opening === '\\[' }
}

/** What becomes of formulas in the tree, for mdast-util-from-markdown. */
export const formulaTree: TreeExtension = {
  enter: {
    formula(token) {
      this.enter({ type: 'formula', value: this.sliceSerialize(token) }, token)
    },
  },
  exit: {
    formula(token) {
      this.exit(token)
    },
  },
}
