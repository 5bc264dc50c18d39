import { expect, test } from 'vitest'
import { NO_BLOCKS, splitBlocks } from './split-blocks'

const TEXT = `# Title

A paragraph with **bold**
over two lines.

- one
- two

  still two

\`\`\`ts
const x = 1

const y = 2
\`\`\`

| a | b |
|---|---|
| 1 | 2 |

> quote

<div>raw</div>

Last words.
`

test('blocks joined are the text', () => {
  expect(splitBlocks(NO_BLOCKS, TEXT).blocks.join('')).toBe(TEXT)
  expect(splitBlocks(NO_BLOCKS, TEXT).blocks.length).toBeGreaterThan(6)
})

test('a text that grows by any piece splits like the whole', () => {
  for (const size of [1, 3, 7, 50]) {
    let split = NO_BLOCKS
    for (let end = size; end < TEXT.length + size; end += size) split = splitBlocks(split, TEXT.slice(0, end))
    expect(split.blocks).toEqual(splitBlocks(NO_BLOCKS, TEXT).blocks)
  }
})

test('settled blocks keep their very string, so that their render is skipped', () => {
  const before = splitBlocks(NO_BLOCKS, TEXT)
  const after = splitBlocks(before, `${TEXT}\nAnd more.`)
  expect(after.blocks.slice(0, -3)).toEqual(before.blocks.slice(0, after.blocks.length - 3))
})

test('a text with references or footnotes stays whole', () => {
  expect(splitBlocks(NO_BLOCKS, 'See [x].\n\nMore.\n\n[x]: https://example.org\n').blocks).toHaveLength(1)
  expect(splitBlocks(NO_BLOCKS, 'A claim.[^1]\n\n[^1]: A source.\n').blocks).toHaveLength(1)
})

test('another text is split anew', () => {
  expect(splitBlocks(splitBlocks(NO_BLOCKS, TEXT), 'Something else').blocks).toEqual(['Something else'])
  expect(splitBlocks(NO_BLOCKS, 'a\r\n\r\nb').blocks.join('')).toBe('a\n\nb')
})

test('a display formula is one block, whatever its lines look like, and ends before a blank line', () => {
  for (const formula of ['\\[\na\n- b\n+ c\n> d\n\\]\n', '$$\na\n- b\n- c\n- d\n$$\n', '$$ a\n= b $$\n']) {
    const text = `Before:\n${formula}\nAfter.`
    const whole = splitBlocks(NO_BLOCKS, text).blocks
    expect(whole.some((block) => block.trim() === formula.trim())).toBe(true)
    let split = NO_BLOCKS
    for (let end = 1; end <= text.length; end++) split = splitBlocks(split, text.slice(0, end))
    expect(split.blocks.join('')).toBe(text)
    expect(split.blocks).toEqual(whole)
  }
  expect(splitBlocks(NO_BLOCKS, '\\[ never closed\n\nMore.').blocks).toHaveLength(2)
})
