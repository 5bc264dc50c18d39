import type { Code, Paragraph, Table } from 'mdast'
import { inside, isContainer, lineStart, openContainer, type Container } from './containers'
import type { Level, Pieced, Reading, State } from './growing-text'
import { holdsBlocks, lineOf } from './references'
import { cutParagraph } from './sentences'
import { offsetOf, type Node } from './syntax'

/** The open nodes with what settled in them, and where the text begins that is read again. */
export interface Cut {
  readonly levels: readonly Level[]
  readonly offset: number
  /** How many of the levels were open before. */
  readonly kept: number
}

/** An open node on the way to the end of the text. */
interface Step {
  readonly node: Pieced
  /** The level it was before; undefined if it is new. */
  readonly level: Level | undefined
  /** Where its line begins; before everything for one that was open already. */
  readonly line: number
}

const FENCE = /^ {0,3}(`{3,}|~{3,})/
const CLOSING_FENCE = /^[\s>]*(?:`{3}|~{3})/
/** A paragraph of so many characters on an unfinished line stays one, unless its first character is one of these. */
const SURE = 64
const UNSURE = /^[[<`~|$\\]/

/**
 * Decides what cannot change any more, and where to read on.
 * A block that began on a finished line closes all blocks before it for good: Markdown is read line by line.
 */
export function settledLevels(state: State, reading: Reading): Cut | null {
  const path = pathOf(state, reading)
  const depth = lastCertain(path, reading)
  if (path.some((step, index) => step.line > 0 && leansOnCode(path[index - 1]!.node, step, reading.text))) return null
  let cut = depth < 1 ? null : cutLeaf(path, depth, reading, state)
  // Inside of a container that cannot be opened again nothing is cut, but around it.
  for (let around = depth; around > 0 && !cut; around--) cut = cutBefore(path, around, reading)
  return cut
}

/** The innermost node at the end of the text. */
export function lastLeaf({ open: [root] }: Reading): Node | undefined {
  let node: Node | undefined = root
  while (node && holdsBlocks(node) && node.children.length > 0) node = node.children.at(-1)
  return node
}

function pathOf({ levels }: State, { open, text, shift }: Reading): Step[] {
  const path: Step[] = []
  let node: Node | undefined = open[0]
  while (node) {
    const level: Level | undefined = node === open[path.length] ? levels[path.length] : undefined
    path.push({ node, level, line: level ? -1 : lineOf(node, text, shift) })
    node = holdsBlocks(node) ? (node.children as Node[]).at(-1) : undefined
  }
  return path
}

/** The innermost node of which it is certain where it begins: on a line that is complete. */
function lastCertain(path: readonly Step[], { text, shift }: Reading): number {
  const { node } = path.at(-1)!
  const begin = offsetOf(node) - shift
  if (node.type === 'paragraph' && text.length - begin > SURE && !UNSURE.test(text.slice(begin))) return path.length - 1
  const unfinished = text.lastIndexOf('\n') + 1
  return path.findLastIndex(({ line }) => line < unfinished)
}

function cutBefore(path: readonly Step[], depth: number, { text, shift, open }: Reading): Cut | null {
  const { node, level, line } = path[depth]!
  if (holdsBlocks(node)) {
    // Its last child may still turn into something else, but the one before it began for certain.
    const fresh = (node.children as Node[]).slice(level?.settled.length ?? 0)
    const certain = fresh.at(-2)
    if (certain && !open.includes(certain) && lineOf(certain, text, shift) > line) {
      return cutAt(path, depth, (node.children as Node[]).slice(0, -2), lineOf(certain, text, shift), text)
    }
  }
  // A node on the same line as the one around it opens together with that.
  while (depth > 1 && path[depth]!.line >= 0 && path[depth]!.line === path[depth - 1]!.line) depth--
  if (path[depth]!.line < 0) return null
  const { node: parent } = path[depth - 1]!
  return holdsBlocks(parent) ? cutAt(path, depth - 1, (parent.children as Node[]).slice(0, -1), path[depth]!.line, text) : null
}

/** Right behind indented code, text is a paragraph that would begin a list or HTML if it were read alone. */
function leansOnCode(parent: Node, { node, line }: Step, text: string): boolean {
  const before = holdsBlocks(parent) ? (parent.children as Node[]).at(-2) : undefined
  const [, previous] = text.slice(0, line).split('\n').reverse()
  return node.type === 'paragraph' && before?.type === 'code' && (previous ?? '').trim() !== ''
}

/** Reads on from `offset`, with the nodes up to `depth` open, in the innermost of which `settled` stands. */
function cutAt(path: readonly Step[], depth: number, settled: readonly Node[], offset: number, text: string): Cut | null {
  const levels = levelsTo(path, depth, text)
  if (!levels) return null
  levels[depth] = { ...levels[depth]!, settled }
  return { levels, offset, kept: keptOf(path, depth) }
}

function keptOf(path: readonly Step[], depth: number): number {
  return path.slice(0, depth + 1).filter(({ level }) => level).length
}

/** The open nodes up to `depth`, each with all children but the last as settled. */
function levelsTo(path: readonly Step[], depth: number, text: string): Level[] | null {
  const levels: Level[] = []
  for (const [index, { node, level }] of path.slice(0, depth + 1).entries()) {
    let container = level?.container
    if (!container && isContainer(node)) {
      const rest = restOfLine(path, index, text, levels)
      container = (rest !== null && openContainer(node, rest)) || undefined
      if (!container) return null
    }
    const settled = holdsBlocks(node) ? (node.children as Node[]).slice(0, -1) : []
    const shell = holdsBlocks(node) ? ({ ...node, children: [] } as Node) : node
    levels.push({ node: shell, settled, ...(container && { container }) })
  }
  return levels
}

/** The first line of a node, without the marks of the nodes around it. */
function restOfLine(path: readonly Step[], depth: number, text: string, levels: readonly Level[]): string | null {
  const { line } = path[depth]!
  let rest: string | null = lineAt(text, line)
  for (const [index, { container }] of levels.slice(0, depth).entries()) {
    if (!container) continue
    if (path[index]!.line === line) rest = rest.slice(container.open.length)
    else rest = inside(rest, [container])
    if (rest === null) return null
  }
  return rest
}

function lineAt(text: string, start: number): string {
  const end = text.indexOf('\n', start)
  return text.slice(start, end < 0 ? undefined : end)
}

/** Settles the beginning of a long paragraph, code block or table. */
function cutLeaf(path: readonly Step[], depth: number, reading: Reading, state: State): Cut | null {
  const { node } = path[depth]!
  if (depth !== path.length - 1) return null
  const levels = levelsTo(path, depth, reading.text)
  if (!levels) return null
  const containers = levels.flatMap(({ container }) => container ?? [])
  const leaf =
    node.type === 'paragraph'
      ? sentences(node, reading, containers)
      : node.type === 'code'
        ? lines(node, path, levels, reading, state)
        : node.type === 'table'
          ? rows(node, path, levels, reading)
          : null
  if (!leaf) return null
  levels[depth] = { ...levels[depth]!, ...leaf.level }
  return { levels, offset: leaf.offset, kept: keptOf(path, depth) }
}

interface LeafCut {
  readonly level: Partial<Level>
  readonly offset: number
}

function sentences(node: Paragraph & Pieced, { text, shift }: Reading, containers: readonly Container[]): LeafCut | null {
  const cut = cutParagraph(node, text, shift)
  if (!cut) return null
  // A word in front, so that what follows cannot pass for the beginning of a list or heading.
  const lead = `${lineStart(containers)}x${text[cut.offset - 1]}`
  return { level: { lead, pieces: [...(node.pieces ?? []), cut.settled] }, offset: cut.offset }
}

function lines(node: Code & Pieced, path: readonly Step[], levels: Level[], { text }: Reading, state: State): LeafCut | null {
  const { level, line } = path.at(-1)!
  const fence = level ? '' : restOfLine(path, path.length - 1, text, levels)
  if (fence === null || !(level || FENCE.test(fence))) return null
  const begin = level ? state.skeleton.length : line + lineAt(text, line).length + 1
  const unfinished = text.lastIndexOf('\n') + 1
  const offset = text.lastIndexOf('\n', unfinished - 2) + 1
  // Something of the code stays behind the fence, so that its last line ending is treated as ever.
  if (offset <= begin || CLOSING_FENCE.test(text.slice(offset, unfinished)) || CLOSING_FENCE.test(text.slice(unfinished))) return null
  const count = text.slice(begin, offset).split('\n').length - 1
  const chunk = `${node.value.split('\n').slice(0, count).join('\n')}\n`
  const lead = level?.lead ?? `${lineStart(levels.flatMap(({ container }) => container ?? []))}${fence}\n`
  return { level: { lead, chunks: [...(node.chunks ?? []), chunk] }, offset }
}

function rows(node: Table, path: readonly Step[], levels: Level[], { text, shift }: Reading): LeafCut | null {
  const { level, line } = path.at(-1)!
  const last = node.children.at(-1)!
  const fresh = node.children.length - (level?.settled.length ?? 1)
  if (fresh < 2) return null
  let lead = level?.lead
  if (lead === undefined) {
    const containers = levels.flatMap(({ container }) => container ?? [])
    const head = restOfLine(path, path.length - 1, text, levels)
    const delimiters = inside(lineAt(text, line + lineAt(text, line).length + 1), containers)
    if (head === null || delimiters === null) return null
    lead = `${lineStart(containers)}${head}\n${lineStart(containers)}${delimiters}\n`
  }
  return { level: { lead, settled: node.children.slice(0, -1) }, offset: lineOf(last, text, shift) }
}
