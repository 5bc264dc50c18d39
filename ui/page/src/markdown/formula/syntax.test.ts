import { expect, test } from 'vitest'
import { parse } from '../syntax'
import { readFormula, type Written } from './tree'

function formulas(text: string): Written[] {
  const found: Written[] = []
  const walk = (node: { type: string; children?: unknown[]; value?: string }) => {
    if (node.type === 'formula') found.push(readFormula(node.value!))
    for (const child of node.children ?? []) walk(child as typeof node)
  }
  walk(parse(text).root)
  return found
}

test.each([
  ['$E = mc^2$', ['$E = mc^2$']],
  ['so $x$ and $f(x)$.', ['$x$', '$f(x)$']],
  ['$$a$$', ['$$a$$']],
  ['inline \\(a_1 \\, b_2\\) here', ['\\(a_1 \\, b_2\\)']],
  ['\\[ \\frac{a}{b} \\]', ['\\[ \\frac{a}{b} \\]']],
  ['Text:\n\\[\na\n- b\n+ c\n\\]\nmore', ['\\[\na\n- b\n+ c\n\\]']],
  ['$$\n\\begin{aligned}\na &= b \\\\\n> c\n\\end{aligned}\n$$', ['$$\n\\begin{aligned}\na &= b \\\\\n> c\n\\end{aligned}\n$$']],
  ['> $$\n> a\n> $$', ['$$\na\n$$']],
  ['- item\n  $$\n  a\n  $$', ['$$\na\n$$']],
  ['a $\\text{costs \\$5}$ b', ['$\\text{costs \\$5}$']],
  ['two lines $a +\nb$ here', ['$a +\nb$']],
  ['| $a$ | c |\n|--|--|\n| \\(d\\) | e |', ['$a$', '\\(d\\)']],
])('%j has the formulas %j', (text, expected) => {
  expect(formulas(text).map(({ source }) => source)).toEqual(expected)
  expect(formulas(text).every(({ tex }) => tex !== null)).toBe(true)
})

test.each([
  'It costs $5 and $6.',
  'From $5-$10, or 6$ if you wait; US$7 and A$8.',
  'echo $HOME and $PATH, or $HOME/$PATH',
  'Pay $5, or 6$ later.',
  '`$a$` and `\\(b\\)`',
  '```\n$a$\n\\[b\\]\n```',
  '\\$a$ is no formula',
  '$ a $',
  '$$$',
  'a\\\\(b\\\\)',
])('%j has no formula', (text) => {
  expect(formulas(text)).toEqual([])
})

test.each(['so \\(a_1 * b_2', '\\[ a', '$$\na *b*', 'a $\\frac{a}{b', '$$ x'])('%j ends in a formula that is not finished', (text) => {
  const [written] = formulas(text)
  expect(written?.tex).toBeNull()
  expect(text.endsWith(written?.source ?? '?')).toBe(true)
})

test('a display formula without an end takes nothing from the next paragraph', () => {
  expect(formulas('\\[ is how it begins\n\nAnd **more**.').map(({ source }) => source)).toEqual(['\\[ is how it begins'])
})
