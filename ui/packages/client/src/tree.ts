import type { Branch, ConversationTurn } from './conversations-types.js'
import { answerOf, questionOf, type WireNode } from './wire.js'

/** A turn in the tree of a conversation. `known` is what the server has of it: nothing, its place, or its final form. */
export interface Leafed {
  readonly turn: ConversationTurn
  readonly parent: string | null
  readonly known: 'here' | 'there' | 'final'
}

/** The turns of a conversation by id, the oldest first; each but the first of a branch has a parent. */
export type Tree = ReadonlyMap<string, Leafed>

/** The ids below each turn, oldest first; those of the first turns are under null. */
export type Below = ReadonlyMap<string | null, readonly string[]>

/** Lists the children of every turn. */
export function below(tree: Tree): Below {
  const lists = new Map<string | null, string[]>()
  for (const [id, { parent }] of tree) {
    const list = lists.get(parent)
    if (list) list.push(id)
    else lists.set(parent, [id])
  }
  return lists
}

/** The ids from the first turn to this one; empty when there is no such turn. */
export function pathTo(tree: Tree, leaf: string | null): string[] {
  const path: string[] = []
  // A parent that is missing or comes twice ends the path: damaged data must not hang the page.
  for (let id = leaf, seen = new Set<string>(); id !== null && tree.has(id) && !seen.has(id); id = tree.get(id)!.parent) {
    seen.add(id)
    path.push(id)
  }
  return path.reverse()
}

/** The end of the newest branch below a turn, or of the one that was `chosen` there before. */
export function tip(lists: Below, from: string | null, chosen: ReadonlyMap<string | null, string> = new Map()): string | null {
  for (let id = from; ; ) {
    const list = lists.get(id)
    if (!list) return id
    const before = chosen.get(id)
    id = before !== undefined && list.includes(before) ? before : list.at(-1)!
  }
}

/** The turns of a path that have alternatives; those of `before` that are still right are kept. */
export function branches(
  tree: Tree,
  lists: Below,
  path: readonly string[],
  before: ReadonlyMap<string, Branch> = new Map(),
): ReadonlyMap<string, Branch> {
  const found = new Map<string, Branch>()
  for (const id of path) {
    const list = lists.get(tree.get(id)!.parent) ?? []
    if (list.length < 2) continue
    const index = list.indexOf(id)
    const branch = { index, count: list.length, previous: list[index - 1] ?? null, next: list[index + 1] ?? null }
    const old = before.get(id)
    const same = old?.count === branch.count && old.previous === branch.previous && old.next === branch.next
    found.set(id, same ? old : branch)
  }
  return found
}

/**
 * Takes the server's nodes in. Turns keep their identity unless the server knows more of them than this page; those
 * that only this page has stay, behind the others.
 */
export function merge(tree: Tree, nodes: readonly WireNode[]): Tree {
  const merged = new Map<string, Leafed>()
  for (const node of nodes) merged.set(node.id, grown(tree.get(node.id), node))
  for (const [id, leafed] of tree) {
    if (leafed.known === 'here' && !merged.has(id)) merged.set(id, leafed)
  }
  return merged
}

function grown(here: Leafed | undefined, node: WireNode): Leafed {
  const { parent } = node
  if (here?.known === 'final') return here
  if (node.role === 'user') {
    const same = here?.turn.role === 'user' && here.turn.files.length === 0
    return { turn: same ? here.turn : questionOf(node), parent, known: 'final' }
  }
  if (node.state !== 'open') {
    const turn = answerOf(node)
    const seen = here?.turn.role === 'assistant' ? here.turn.message : turn.message
    // Only who has read the log knows where in the text its seams are.
    const same = seen.text === turn.message.text && seen.continued.length === turn.message.continued.length
    return { turn: same ? { ...turn, message: { ...turn.message, continued: seen.continued } } : turn, parent, known: 'final' }
  }
  if (here?.turn.role !== 'assistant') return { turn: answerOf(node), parent, known: 'there' }
  // This page reads the log, and is ahead of what the server says of an open answer.
  const turn = here.turn.location === null ? { ...here.turn, location: node.location } : here.turn
  return { turn, parent, known: 'there' }
}
