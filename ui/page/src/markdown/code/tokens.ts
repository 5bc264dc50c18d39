import type { HLJSApi } from 'highlight.js'

/** Coloured runs of a code: pairs of a length in UTF-16 units and a kind, the place in `KINDS`. */
export type Runs = readonly number[]

/** The kinds of tokens that have a colour of their own; the first is what has none. */
export const KINDS = ['', 'comment', 'keyword', 'string', 'number', 'title', 'type', 'attr', 'meta', 'added', 'removed'] as const

// highlight.js has some forty scopes. More than ten colours is a carnival.
const SCOPES: Readonly<Record<string, (typeof KINDS)[number]>> = {
  comment: 'comment',
  quote: 'comment',
  doctag: 'comment',
  keyword: 'keyword',
  'selector-tag': 'keyword',
  name: 'keyword',
  string: 'string',
  regexp: 'string',
  char: 'string',
  link: 'string',
  code: 'string',
  number: 'number',
  literal: 'number',
  symbol: 'number',
  bullet: 'number',
  title: 'title',
  section: 'title',
  'selector-id': 'title',
  'selector-class': 'title',
  type: 'type',
  built_in: 'type',
  class: 'type',
  attr: 'attr',
  attribute: 'attr',
  property: 'attr',
  variable: 'attr',
  'template-variable': 'attr',
  'selector-attr': 'attr',
  'selector-pseudo': 'attr',
  meta: 'meta',
  addition: 'added',
  deletion: 'removed',
}
const PIECE = /<span class="(?:hljs-)?([\w-]*)[^"]*">|(<\/span>)|&(?:amp|lt|gt|quot|#x27);|[^<&]+/g

/** Colours a code. The markup that highlight.js makes is read for its runs and never becomes HTML. */
export function tokenize(hljs: HLJSApi, code: string, language: string): Runs {
  const markup = hljs.highlight(code, { language, ignoreIllegals: true }).value
  const runs: number[] = []
  const open: number[] = [0]
  for (const [piece, scope, close] of markup.matchAll(PIECE)) {
    if (close) open.pop()
    else if (scope !== undefined) open.push(SCOPES[scope] ? KINDS.indexOf(SCOPES[scope]) : (open.at(-1) ?? 0))
    else {
      const kind = open.at(-1) ?? 0
      const length = piece.startsWith('&') ? 1 : piece.length
      if (runs.length > 0 && runs.at(-1) === kind) runs[runs.length - 2]! += length
      else runs.push(length, kind)
    }
  }
  return runs
}
