import type { Paragraph, PhrasingContent, Text } from 'mdast'
import { offsetOf } from './syntax'

/** A paragraph in two: what can no longer change, and where the rest begins. */
export interface Cut {
  readonly settled: PhrasingContent[]
  readonly offset: number
}

const SHORTEST = 120
const LONGEST_FORMULA = 4100
const PUNCTUATION = /[。！？；，、：]/
const DELIMITER_ROW = /^[\s>]*[|:-][\s|:-]*$/

/**
 * Cuts a growing paragraph as late as possible, between two words of its own text.
 * No cut follows a mark that a later one could pair with: a star, bracket or backtick that opens something.
 */
export function cutParagraph(paragraph: Paragraph, source: string, shift: number): Cut | null {
  const opened: Opened = { brackets: 0, formula: -1, forGood: false }
  const begin = offsetOf(paragraph) - shift
  let best: { child: number; offset: number; suffix: number } | null = null
  for (const [index, child] of paragraph.children.entries()) {
    if (child.type !== 'text' || !child.position) {
      readInside(child, source, shift, opened)
    } else {
      const from = offsetOf(child) - shift
      const to = child.position.end.offset! - shift
      readText(source, from, to, true, opened, (offset) => {
        if (offset - begin >= SHORTEST && isBetweenWords(source, offset)) best = { child: index, offset, suffix: to - offset }
      })
    }
    if (opened.forGood) break
  }
  return best && split(paragraph, source, best)
}

function split(paragraph: Paragraph, source: string, at: { child: number; offset: number; suffix: number }): Cut | null {
  const node = paragraph.children[at.child] as Text
  const suffix = source.slice(at.offset, at.offset + at.suffix)
  // An escape or a line ending in the suffix would make it another length than its source.
  if (!node.value.endsWith(suffix) || mayBeTableHead(source, at.offset)) return null
  const settled = paragraph.children.slice(0, at.child)
  settled.push({ ...node, value: node.value.slice(0, node.value.length - suffix.length) })
  return { settled, offset: at.offset }
}

function isBetweenWords(source: string, offset: number): boolean {
  const [before, last, next] = [source[offset - 2], source[offset - 1], source[offset]]
  if (next === undefined || /\s/.test(next)) return false
  return PUNCTUATION.test(last!) || (last === ' ' && before !== undefined && !/[\s\\]/.test(before))
}

/** A line of a paragraph turns into the head of a table when a row of dashes follows. */
function mayBeTableHead(source: string, offset: number): boolean {
  const [, next] = source.slice(offset).split('\n', 2)
  return next !== undefined && isDelimiterRow(next)
}

/** Whether a line is the second of a table, or the beginning of one. */
export function isDelimiterRow(line: string): boolean {
  return DELIMITER_ROW.test(line)
}

/** What is open at some place of a text. */
interface Opened {
  brackets: number
  /** Up to where a formula may reach that has begun. */
  formula: number
  forGood: boolean
}

/** Reads text inside of links and emphasis: what opens there could still outdo them, but no cut is possible. */
function readInside(node: PhrasingContent, source: string, shift: number, opened: Opened): void {
  if ('children' in node) for (const child of node.children) readInside(child, source, shift, opened)
  else if (node.type === 'text') {
    const [text, from, to] = node.position
      ? [source, offsetOf(node) - shift, node.position.end.offset! - shift]
      : [node.value, 0, node.value.length]
    readText(text, from, to, false, opened, () => {})
  }
}

function readText(text: string, from: number, to: number, own: boolean, opened: Opened, free: (offset: number) => void): void {
  for (let at = from; at < to; at++) {
    const next = text[at + 1] ?? ''
    switch (text[at]) {
      case '\\':
        if (next === '(' || next === '[') opened.formula = at + LONGEST_FORMULA
        if (/[!-/:-@[-`{-~]/.test(next)) at++
        break
      case '[':
        opened.brackets++
        break
      case ']':
        if (opened.brackets > 0) opened.brackets--
        // A link whose address is not complete.
        if (next === '(') opened.forGood = true
        break
      case '$':
        if (next !== ' ') opened.formula = at + LONGEST_FORMULA
        break
      case '`':
        opened.forGood = true
        break
      case '<':
        if (/[a-z/!?]/i.test(next) || next === '') opened.forGood = true
        break
      case '~':
        if (own && next === '~') opened.forGood = true
        break
      case '*':
      case '_':
        if (own && next !== ' ' && !(text[at] === '_' && /[\p{L}\p{N}]/u.test(text[at - 1] ?? ''))) opened.forGood = true
    }
    if (opened.forGood) return
    if (own && opened.brackets === 0 && at > opened.formula) free(at + 1)
  }
}
