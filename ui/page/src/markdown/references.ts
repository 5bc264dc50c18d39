import type { Definition, FootnoteDefinition, FootnoteReference } from 'mdast'
import { normalizeIdentifier } from 'micromark-util-normalize-identifier'
import type { Pieced } from './growing-text'
import { offsetOf, type Node } from './syntax'

const LABEL = /\[(\^?(?:[^[\]\\]|\\.)+)\]/gs

/** Definitions of a text by label; those of footnotes begin with `^`. The first of a label counts. */
export type Definitions = ReadonlyMap<string, Definition | FootnoteDefinition>

/** The labels a text may refer to, as they stand there, by their normalised form. */
export function labelsIn(text: string): ReadonlyMap<string, string> | null {
  if (!text.includes('[')) return null
  const labels = new Map<string, string>()
  for (const [, label] of text.matchAll(LABEL)) {
    const plain = label!.replace(/\s+/g, ' ').trim()
    if (plain !== '' && plain !== '^' && plain.length < 1000) labels.set(keyOf(plain), plain)
  }
  return labels.size > 0 ? labels : null
}

/** The normalised form of a label. */
export function keyOf(label: string): string {
  return label.startsWith('^') ? `^${normalizeIdentifier(label.slice(1))}` : normalizeIdentifier(label)
}

/** Adds the definitions among and inside these nodes. */
export function collectDefinitions(nodes: readonly Node[], into: Map<string, Definition | FootnoteDefinition>): void {
  for (const node of nodes) {
    if (node.type === 'definition' || node.type === 'footnoteDefinition') {
      const key = (node.type === 'footnoteDefinition' ? '^' : '') + normalizeIdentifier(node.identifier)
      if (!into.has(key)) into.set(key, node)
    }
    if (holdsBlocks(node)) collectDefinitions(node.children, into)
  }
}

/** Whether a node has blocks inside, which grow one by one. */
export function holdsBlocks(node: Node): node is Extract<Node, { children: unknown[] }> {
  return ['root', 'list', 'listItem', 'blockquote', 'footnoteDefinition'].includes(node.type)
}

/** The number of a footnote and how often it was referred to before, for each reference. */
export interface Notes {
  readonly definitions: Definitions
  readonly places: ReadonlyMap<FootnoteReference, { readonly number: number; readonly again: number }>
  /** The footnotes to show at the end, in order, with their number and the count of references to them. */
  readonly shown: readonly { readonly number: number; readonly count: number; readonly definition: FootnoteDefinition }[]
}

const found = new WeakMap<Node, readonly FootnoteReference[]>()
const NONE: readonly FootnoteReference[] = []

/** Numbers the footnotes in the order in which they are first referred to. */
export function numberNotes(blocks: readonly Node[], definitions: Definitions): Notes {
  const numbers = new Map<string, { number: number; count: number }>()
  const places = new Map<FootnoteReference, { number: number; again: number }>()
  const shown: { number: number; count: number; definition: FootnoteDefinition }[] = []
  const visit = (references: readonly FootnoteReference[]) => {
    for (const reference of references) {
      const key = `^${normalizeIdentifier(reference.identifier)}`
      const note = numbers.get(key) ?? { number: numbers.size + 1, count: 0 }
      numbers.set(key, note)
      places.set(reference, { number: note.number, again: note.count++ })
    }
  }
  for (const block of blocks) if (block.type !== 'footnoteDefinition') visit(referencesIn(block))
  // A footnote may refer to further ones: the map grows on the way.
  for (const key of numbers.keys()) {
    const definition = definitions.get(key)
    if (definition?.type === 'footnoteDefinition') visit(definition.children.flatMap((child) => [...referencesIn(child)]))
  }
  for (const [key, { number, count }] of numbers) {
    const definition = definitions.get(key)
    if (definition?.type === 'footnoteDefinition') shown.push({ number, count, definition })
  }
  return { definitions, places, shown }
}

function referencesIn(node: Pieced): readonly FootnoteReference[] {
  if (node.type === 'footnoteReference') return [node]
  if (!('children' in node) || node.type === 'footnoteDefinition') return NONE
  const known = found.get(node)
  if (known) return known
  const references: FootnoteReference[] = []
  for (const child of [...(node.pieces ?? []).flat(), ...node.children]) references.push(...referencesIn(child))
  const result = references.length > 0 ? references : NONE
  found.set(node, result)
  return result
}

/** Where the line of a node begins. */
export function lineOf(node: Node, text: string, shift: number): number {
  return text.lastIndexOf('\n', offsetOf(node) - shift - 1) + 1
}
