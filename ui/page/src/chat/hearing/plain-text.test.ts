import { expect, test } from 'vitest'
import { words as ar } from '../../words/ar'
import { words as de } from '../../words/de'
import { words as en } from '../../words/en'
import { plainText, shortened } from './plain-text'

test.each([
  ['# A *long* title', 'Heading: A long title.'],
  ['Some **bold**, `code` and a [link](https://x.example).', 'Some bold, code and a link.'],
  ['1. rain\n2. clay', '1. rain. 2. clay.'],
  ['- one\n  - two', 'one two..'.replace('..', '.')],
  ['```python\na\nb\n```', 'Code in python, 2 lines.'],
  ['| a | b |\n|---|---|\n| 1 | 2 |', 'Table with 1 row.'],
  ['> wise', 'Quote: wise'],
  ['![a cat](https://x.example/cat.png)', 'Image: a cat.'],
  ['before <b onclick="x()">html</b> after', 'before html after'],
  ['one\n\n---\n\ntwo', 'one two'],
])('%s is read as %s', (markdown, words) => expect(plainText(markdown, en.chat)).toBe(words))

test('a long text is cut, and says how much is left', () => {
  const text = Array.from({ length: 200 }, (_, index) => `w${index}`).join(' ')
  const cut = shortened(text, en.chat)
  expect(cut).toMatch(/w119 … 80 more words, read the answer to hear the rest\.$/)
  expect(shortened('short', en.chat)).toBe('short')
})

test.each([
  ['German', de.chat, '… noch 80 Wörter; den Rest hören Sie in der Antwort.'],
  ['Arabic', ar.chat, ar.chat.moreWords(80)],
])('it does so in %s', (_, words, ending) => expect(shortened('w '.repeat(200).trim(), words).endsWith(ending)).toBe(true))
