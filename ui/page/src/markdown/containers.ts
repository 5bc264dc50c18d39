import type { Node } from './syntax'

/** A list item, quote or footnote around a text: how its first line begins, and how each later line does. */
export interface Container {
  readonly open: string
  readonly goOn: string
}

const QUOTE = /^ {0,3}> ?/
const ITEM = /^ {0,3}(?:[-+*]|\d{1,9}[.)])(?= |$)/
const FOOTNOTE = /^ {0,3}\[\^[^\]]+\]:/
/** The first child of every reopened container; any leaf of one line would do. */
const STAND_IN = '#'

/** Whether lines inside such a node begin with a marker or an indentation. */
export function isContainer({ type }: Node): boolean {
  return type === 'listItem' || type === 'blockquote' || type === 'footnoteDefinition'
}

/** The container that `node` opens at the beginning of this text; null for a tab, whose width depends on its place. */
export function openContainer({ type }: Node, text: string): Container | null {
  const marker = (type === 'blockquote' ? QUOTE : type === 'listItem' ? ITEM : FOOTNOTE).exec(text)?.[0]
  if (marker === undefined) return null
  if (type === 'blockquote') return { open: marker, goOn: '> ' }
  if (type === 'footnoteDefinition') return { open: `${marker} `, goOn: '    ' }
  const rest = text.slice(marker.length)
  const space = /^[ \t]*/.exec(rest)![0]
  if (space.includes('\t')) return null
  // Five spaces or more are one space and indented code; an empty item counts as one space wide.
  const width = space.length > 4 || space.length === rest.length ? 1 : space.length
  return { open: marker + ' '.repeat(width), goOn: ' '.repeat(marker.length + width) }
}

/** The line without the marks of these open containers, or null if it lacks some. */
export function inside(line: string, containers: readonly Container[]): string | null {
  for (const { goOn } of containers) {
    const marks = goOn === '> ' ? QUOTE.exec(line)?.[0] : line.startsWith(goOn) ? goOn : undefined
    if (marks === undefined) return null
    line = line.slice(marks.length)
  }
  return line
}

/** Lines that open all these containers again; in each of them stands one heading. */
export function reopened(containers: readonly Container[]): string {
  let lines = ''
  let before = ''
  for (const { open, goOn } of containers) {
    lines += `${before}${open}${STAND_IN}\n`
    before += goOn
  }
  return lines
}

/** How a line begins inside all these containers. */
export function lineStart(containers: readonly Container[]): string {
  return containers.map(({ goOn }) => goOn).join('')
}
