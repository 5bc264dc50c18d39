import type { Definition, FootnoteDefinition, PhrasingContent } from 'mdast'
import { reopened, type Container } from './containers'
import { collectDefinitions, holdsBlocks, labelsIn, lineOf, type Definitions } from './references'
import { lastLeaf, settledLevels } from './settle'
import { isDelimiterRow } from './sentences'
import { parse, type Node, type Parsed } from './syntax'

/** Part of a paragraph that cannot change any more. */
export type Piece = readonly PhrasingContent[]
/** A paragraph whose beginning, or code whose lines, settled piece by piece; what may still change is in the node itself. */
export type Pieced = Node & { readonly pieces?: readonly Piece[]; readonly chunks?: readonly string[]; open?: boolean }

/** A node that is still open, with those of its parts that cannot change any more. */
export interface Level {
  readonly node: Node
  readonly settled: readonly Node[]
  readonly container?: Container
  /** Of a paragraph, code or table: what its later part is parsed behind. */
  readonly lead?: string
  readonly pieces?: readonly Piece[]
  readonly chunks?: readonly string[]
}

/** Where a settled block begins, the labels in it, and those it was parsed with. */
interface Origin {
  readonly start: number
  readonly labels: ReadonlyMap<string, string> | null
  readonly known: string
}

/** How far a growing text settled, and from where it is read again. */
export interface State {
  /** The open nodes, from the whole text inwards. */
  readonly levels: readonly Level[]
  /** One for each settled block of the text. */
  readonly origins: readonly Origin[]
  /** Text that opens the levels again, in front of what is read again. */
  readonly skeleton: string
  /** Where the part begins that is read again, and where the block begins in which that is. */
  readonly tail: number
  readonly block: number
  readonly definitions: Definitions
  /** Definitions that settled, but are not used yet: they come in rows, and each would have old blocks parsed again. */
  readonly pending: Definitions
}

/** A growing text as the blocks to show. */
export interface GrowingText {
  readonly source: string
  readonly growing: boolean
  readonly blocks: readonly Pieced[]
  /** Where each block begins. */
  readonly starts: readonly number[]
  readonly definitions: Definitions
  /** Characters that were read again. */
  readonly effort: number
  readonly state: State
}

/** What is read again, parsed, and merged with what settled. */
export interface Reading {
  readonly text: string
  readonly shift: number
  /** The open nodes, from the whole text inwards, each with all of its children. */
  readonly open: readonly Pieced[]
}

export type Repair = (text: string) => string

/** From so many characters on that are read again, some of them are settled. */
const TAIL = 160
/** The last line of such a text ends a fence. */
const CLOSED = /\n[ \t>]*(?:`{3,}|~{3,})\s*$/
const NO_DEFINITIONS: Definitions = new Map()
const ROOT: Level = { node: { type: 'root', children: [] }, settled: [] }
const EMPTY: State = {
  levels: [ROOT],
  origins: [],
  skeleton: '',
  tail: 0,
  block: 0,
  definitions: NO_DEFINITIONS,
  pending: NO_DEFINITIONS,
}

/** An empty text. */
export const NOTHING: GrowingText = {
  source: '',
  growing: false,
  blocks: [],
  starts: [],
  definitions: NO_DEFINITIONS,
  effort: 0,
  state: EMPTY,
}

/** Reads a text, or only the end of it if it merely grew. `repair` completes the last block of a growing one, for show. */
export function growText(previous: GrowingText, text: string, growing: boolean, repair: Repair = (block) => block): GrowingText {
  const source = text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text
  const known = source.startsWith(previous.source)
  if (known && source === previous.source && growing === previous.growing) return previous
  let state: State = known ? previous.state : EMPTY
  let reading: Reading
  ;[state, reading] = readOn(state, source, growing)
  if (!growing || (state.pending.size > 0 && !isDefinition(lastLeaf(reading)))) {
    state = define(state, reading, source, growing)
    ;[state, reading] = readOn(state, source, growing)
    // What was parsed again has new nodes for its definitions, too.
    if (!growing) state = { ...state, definitions: definedIn(reading) }
  }
  if (growing && source.length - state.tail > TAIL) {
    const further = settle(state, reading, source)
    if (further !== state) [state, reading] = readOn(further, source, growing)
  }
  const grown = shown(state, reading, source, growing, repair)
  // The same map, so that nothing that reads it is rendered again.
  return isSame(grown.definitions, previous.definitions) ? { ...grown, definitions: previous.definitions } : grown
}

/** Reads what has not settled; a text that contradicts what settled is read again from its last block on. */
function readOn(state: State, source: string, growing: boolean): [State, Reading] {
  const reading = isTableAfterAll(state, source) ? null : read(state, source, growing)
  if (reading) return [state, reading]
  const again = reopen(state)
  return [again, read(again, source, growing)!]
}

function read(state: State, source: string, growing: boolean, text = unsettled(state, source)): Reading | null {
  return merge(state, text, parse(text, known(labelsIn(text), state.definitions, growing)))
}

function unsettled({ skeleton, tail }: State, source: string): string {
  return skeleton + source.slice(tail)
}

/** A footnote counts as defined while the text grows: its definition comes last, and its number keeps its place. */
function known(labels: Origin['labels'], definitions: Definitions, growing: boolean): string[] {
  if (!labels) return []
  return [...labels].filter(([key]) => definitions.has(key) || (growing && key.startsWith('^'))).map(([, label]) => label)
}

function merge({ levels }: State, text: string, { root, shift }: Parsed): Reading | null {
  const open: Pieced[] = []
  const join = (depth: number, fresh: Node | undefined): Pieced | null => {
    const level = levels[depth]!
    const joined = level.lead === undefined ? joinContainer(depth, fresh) : joinLeaf(level, fresh)
    if (joined) open[depth] = joined
    return joined
  }
  const joinContainer = (depth: number, fresh: Node | undefined): Pieced | null => {
    const { node, settled, container } = levels[depth]!
    if (!fresh || fresh.type !== node.type || !holdsBlocks(fresh) || !holdsBlocks(node)) return null
    let children = fresh.children as Node[]
    if (container) children = children.slice(1)
    if (depth + 1 < levels.length) {
      const inner = join(depth + 1, children[0])
      if (!inner) return null
      children = [inner, ...children.slice(1)]
    }
    const spread = ('spread' in node && node.spread) || ('spread' in fresh && fresh.spread)
    return { ...node, ...('spread' in fresh && { spread }), position: fresh.position, children: [...settled, ...children] } as Node
  }
  return join(0, root) ? { text, shift, open } : null
}

/** The beginning of a leaf that settled, and the rest that was parsed behind its lead. */
function joinLeaf({ node, settled, lead, pieces, chunks }: Level, fresh: Node | undefined): Pieced | null {
  if (fresh?.type === 'code' && node.type === 'code') return { ...fresh, chunks: chunks! }
  if (fresh?.type === 'table' && node.type === 'table') return { ...fresh, children: [...settled, ...fresh.children.slice(1)] } as Node
  if (node.type !== 'paragraph' || (fresh?.type !== 'paragraph' && fresh?.type !== 'heading')) return null
  const [first, ...rest] = fresh.children
  const word = lead!.slice(-2)
  if (first?.type !== 'text' || !first.value.startsWith(word)) return null
  const text = { ...first, value: first.value.slice(word.length) }
  return { ...fresh, pieces: pieces!, children: text.value === '' ? rest : [text, ...rest] }
}

/** Settles what can be, and finds where to read on from. */
function settle(state: State, reading: Reading, source: string): State {
  const cut = settledLevels(state, reading)
  if (!cut || cut.offset <= state.skeleton.length) return state
  const { levels, offset, kept } = cut
  const containers = levels.flatMap(({ container }) => container ?? [])
  const starts = startsOf(state, reading)
  const pending = new Map(state.pending)
  for (const [depth, level] of levels.entries()) {
    collectDefinitions(level.settled.slice(depth < kept ? state.levels[depth]!.settled.length : 0), pending)
  }
  for (const key of state.definitions.keys()) pending.delete(key)
  const blocks = levels[0]!.settled.length
  const block = levels.length > 1 ? starts[blocks]! : sourceOffset(state, offset)
  const origins = [...state.origins]
  while (origins.length < blocks) {
    const start = starts[origins.length]!
    const labels = labelsIn(source.slice(start, starts[origins.length + 1] ?? block))
    origins.push({ start, labels, known: known(labels, state.definitions, true).join('\n') })
  }
  const skeleton = reopened(containers) + (levels.at(-1)!.lead ?? '')
  return { ...state, levels, origins, skeleton, tail: sourceOffset(state, offset), block, pending }
}

/** A paragraph's line that settled in part turns out to be the head of a table. */
function isTableAfterAll({ levels, tail }: State, source: string): boolean {
  if (!levels.at(-1)!.pieces) return false
  const [, next] = source.slice(tail).split('\n', 2)
  return next !== undefined && isDelimiterRow(next)
}

function isSame(some: Definitions, others: Definitions): boolean {
  return some.size === others.size && [...some].every(([key, definition]) => others.get(key) === definition)
}

function isDefinition(node: Node | undefined): boolean {
  return node?.type === 'definition'
}

function sourceOffset({ tail, skeleton }: State, offset: number): number {
  return tail + offset - skeleton.length
}

/** Where each block of the text begins. */
function startsOf(state: State, { text, shift, open }: Reading): number[] {
  const starts = state.origins.map(({ start }) => start)
  const [root] = open
  if (!root || !holdsBlocks(root)) return starts
  for (const child of (root.children as Node[]).slice(starts.length)) {
    starts.push(child === open[1] ? state.block : sourceOffset(state, lineOf(child, text, shift)))
  }
  return starts
}

/** Makes definitions known to the blocks that refer to them: those are parsed again. */
function define(state: State, reading: Reading, source: string, growing: boolean): State {
  const definitions = allDefinitions(state, reading, growing)
  const next: State = { ...state, definitions, pending: NO_DEFINITIONS }
  const open = labelsIn(source.slice(state.block, state.tail))
  const differs = known(open, definitions, growing).join('\n') !== known(open, state.definitions, true).join('\n')
  return refreshed(differs ? reopen(next) : next, source, growing)
}

function allDefinitions({ definitions, pending, levels }: State, { open }: Reading, all: boolean): Definitions {
  const found: Map<string, Definition | FootnoteDefinition> = new Map([...definitions, ...pending])
  const [root] = open
  if (!all && root && holdsBlocks(root)) collectDefinitions((root.children as Node[]).slice(levels[0]!.settled.length), found)
  return found
}

function definedIn({ open: [root] }: Reading): Definitions {
  const found: Map<string, Definition | FootnoteDefinition> = new Map()
  if (root) collectDefinitions([root], found)
  return found
}

function refreshed(state: State, source: string, growing: boolean): State {
  const settled = [...state.levels[0]!.settled]
  const origins = state.origins.map((origin, index) => {
    const labels = known(origin.labels, state.definitions, growing)
    if (labels.join('\n') === origin.known) return origin
    const { root } = parse(source.slice(origin.start, state.origins[index + 1]?.start ?? state.block), labels)
    if (root.children.length === 1) settled[index] = root.children[0]!
    return { ...origin, known: labels.join('\n') }
  })
  return { ...state, origins, levels: [{ ...state.levels[0]!, settled }, ...state.levels.slice(1)] }
}

/** Reads the last block from its beginning. */
function reopen(state: State): State {
  return { ...state, levels: [state.levels[0]!], skeleton: '', tail: state.block }
}

function shown(state: State, reading: Reading, source: string, growing: boolean, repair: Repair): GrowingText {
  const { text, shift } = reading
  let visible = reading
  const leaf = lastLeaf(reading)
  if (growing && leaf) {
    // Of a table the last two lines: a row must not pass for the head of another table.
    const lastLine = text.lastIndexOf('\n') + 1
    const near = leaf.type === 'table' ? text.lastIndexOf('\n', lastLine - 2) + 1 : 0
    const from = Math.max(near, lineOf(leaf, text, shift), text.lastIndexOf('\n', state.skeleton.length - 1) + 1)
    const whole = ['code', 'html', 'formula'].includes(leaf.type) || (leaf.type === 'table' && lastLine === text.length)
    const repaired = whole ? text : text.slice(0, from) + repair(text.slice(from))
    if (repaired !== text) visible = read(state, source, growing, repaired) ?? reading
  }
  const last: Pieced | undefined = lastLeaf(visible)
  if (growing && last?.type === 'code' && !CLOSED.test(source)) last.open = true
  const [root] = visible.open
  return {
    source,
    growing,
    blocks: root && holdsBlocks(root) ? root.children : [],
    starts: startsOf(state, visible),
    definitions: source.includes(']:') ? allDefinitions(state, visible, false) : NO_DEFINITIONS,
    effort: text.length,
    state,
  }
}
