import { fromMarkdown, type Extension as TreeExtension } from 'mdast-util-from-markdown'
import { gfmAutolinkLiteralFromMarkdown } from 'mdast-util-gfm-autolink-literal'
import { gfmFootnoteFromMarkdown } from 'mdast-util-gfm-footnote'
import { gfmStrikethroughFromMarkdown } from 'mdast-util-gfm-strikethrough'
import { gfmTableFromMarkdown } from 'mdast-util-gfm-table'
import { gfmTaskListItemFromMarkdown } from 'mdast-util-gfm-task-list-item'
import type { Nodes, Root, RootContent } from 'mdast'
import { gfmAutolinkLiteral } from 'micromark-extension-gfm-autolink-literal'
import { gfmFootnote } from 'micromark-extension-gfm-footnote'
import { gfmStrikethrough } from 'micromark-extension-gfm-strikethrough'
import { gfmTable } from 'micromark-extension-gfm-table'
import { gfmTaskListItem } from 'micromark-extension-gfm-task-list-item'
import type { Extension } from 'micromark-util-types'
import { formulaTree } from './formula/tree'
import { formulaSyntax } from './formula/syntax'

/** A node of the syntax tree; see mdast. */
export type Node = Nodes

const extensions: Extension[] = [
  gfmAutolinkLiteral(),
  gfmFootnote(),
  // One tilde says "about" far more often than it strikes out.
  gfmStrikethrough({ singleTilde: false }),
  gfmTable(),
  gfmTaskListItem(),
  formulaSyntax,
]
const mdastExtensions: TreeExtension[] = [
  gfmAutolinkLiteralFromMarkdown(),
  gfmFootnoteFromMarkdown(),
  gfmStrikethroughFromMarkdown(),
  gfmTableFromMarkdown(),
  gfmTaskListItemFromMarkdown(),
  formulaTree,
]
/** A parsed text: its nodes, and by how much their offsets are larger than those of the text. */
export interface Parsed {
  readonly root: Root
  readonly shift: number
}

/** Parses a text in which the given labels count as defined, though their definitions stand elsewhere. */
export function parse(text: string, labels: Iterable<string> = []): Parsed {
  let definitions = ''
  for (const label of labels) definitions += `[${label}]: x\n\n`
  // A heading ends a footnote, which would go on with an indented text.
  const prefix = definitions && `${definitions}#\n`
  const root = fromMarkdown(prefix + text, { extensions, mdastExtensions })
  if (prefix) root.children = root.children.filter((child) => offsetOf(child) >= prefix.length) as RootContent[]
  return { root, shift: prefix.length }
}

/** Where a node begins in the text it was parsed from. */
export function offsetOf(node: Node): number {
  return node.position?.start.offset ?? 0
}
