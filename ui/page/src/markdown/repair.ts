import remend from 'remend'
import { isDelimiterRow } from './sentences'

const OPTIONS = { katex: false, linkMode: 'text-only', singleTilde: false } as const
// What such a line will be is known when more of it came: a list, a heading, a rule, a fence, a definition.
const ONLY_MARKS = /(^|\n)[ \t>]*(?:[-+*_=#>:|~` ]+|\d{1,9}[.)]?|\[[^\]\n]+\]:[ \t]*)$/
const HEAD = /^[ \t>]*\|/

/** Completes the last block of a growing text for show: nothing may be seen as something else for a moment. */
export function repair(block: string): string {
  const end = block.lastIndexOf('\n') + 1
  const previous = block.slice(block.lastIndexOf('\n', end - 2) + 1, Math.max(0, end - 1))
  const last = block.slice(end)
  // The head of a table is one at once, and not a line of bars first.
  if (HEAD.test(last) && !HEAD.test(previous)) return `${remend(block, OPTIONS)}\n${delimiters(last)}`
  if (last === '' && HEAD.test(previous) && !HEAD.test(block.slice(0, end - 1 - previous.length).trimEnd().split('\n').at(-1)!)) {
    return block + delimiters(previous)
  }
  if (end > 0 && previous.includes('|') && isDelimiterRow(last)) return `${block.slice(0, end)}${delimiters(previous)}`
  return remend(block.replace(ONLY_MARKS, '$1'), OPTIONS)
}

/** The second line of a table with this first one. */
function delimiters(head: string): string {
  const [marks] = /^[ \t>]*/.exec(head)!
  const cells = head.slice(marks.length).replace(/\\\|/g, '').replace(/^\|/, '').replace(/\|\s*$/, '').split('|')
  return `${marks}|${'-|'.repeat(cells.length)}`
}
