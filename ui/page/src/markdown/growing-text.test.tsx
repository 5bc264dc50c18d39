import { renderToStaticMarkup } from 'react-dom/server'
import { expect, test } from 'vitest'
import { growText, NOTHING, type GrowingText } from './growing-text'
import { Blocks, DefinitionsContext, Footnotes, NotesContext } from './nodes'
import { numbers, randomMarkdown } from './random-markdown'
import { numberNotes } from './references'
import { repair } from './repair'

function html({ blocks, definitions }: GrowingText): string {
  const notes = { notes: numberNotes(blocks, definitions), prefix: 'note' }
  return renderToStaticMarkup(
    <DefinitionsContext value={definitions}>
      <NotesContext value={notes}>
        <Blocks nodes={blocks} />
        <Footnotes {...notes} label="Footnotes" />
      </NotesContext>
    </DefinitionsContext>,
  )
}

const whole = (text: string) => html(growText(NOTHING, text, false))

const SEEDS = Array.from({ length: 24 }, (_, index) => index + 1)

test.each(SEEDS)('random Markdown %i that grew in pieces is what it is at once', (seed) => {
  const text = randomMarkdown(seed).slice(0, 3000)
  const random = numbers(seed)
  const largest = [1, 8, 30, 200][seed % 4]!
  let grown = NOTHING
  let checked = 0
  for (let end = 0; end < text.length; ) {
    end = Math.min(text.length, end + 1 + Math.floor(random() * largest))
    grown = growText(grown, text.slice(0, end), true, repair)
    if (end - checked < 600 && end < text.length) continue
    checked = end
    expect(html(growText(grown, text.slice(0, end), false))).toBe(whole(text.slice(0, end)))
  }
})

const KINDS: readonly (readonly [string, string, (index: number) => string])[] = [
  ['list', '', (n) => `- Item ${n} with **some** words\n`],
  ['loose list', '', (n) => `${n}. Item ${n}\n\n   More of it.\n\n`],
  ['nested list', '', (n) => `${n % 5 ? '  ' : ''}- Item ${n}\n`],
  ['list inside of an item', '1. Outer\n', (n) => `   - Inner ${n}\n`],
  ['table', '| a | b |\n|---|---|\n', (n) => `| ${n} | word |\n`],
  ['paragraph', '', (n) => `Sentence ${n} says *little*, and \`code\`. `],
  ['Chinese paragraph', '', (n) => `第${n}句话说得很少，水流过石头。`],
  ['log in a fence', '```\n', (n) => `[INFO]: started ${n}\n`],
  ['fence in an item', '- a\n\n  ```js\n', (n) => `  let x${n} = 1\n`],
  ['quote', '', (n) => `> Line ${n} of a quote.\n>\n`],
  ['paragraphs with references', '', (n) => `See [source ${n}][${n}] and a claim[^${n}].\n\n`],
  ['definitions', '', (n) => `[${n}]: https://example.org/${n}\n`],
]

test.each(KINDS)('of a growing %s only the end is read again', (_, head, part) => {
  let text = head
  let grown = NOTHING
  let most = 0
  for (let n = 1; text.length < 8000; n++) {
    text += part(n)
    grown = growText(grown, text, true, repair)
    most = Math.max(most, grown.effort)
  }
  expect(most).toBeLessThan(700)
  expect(html(growText(grown, text, false))).toBe(whole(text))
})

test('what settled keeps its very nodes, so that its render is skipped', () => {
  const text = KINDS[0]![2](1).repeat(100)
  const before = growText(NOTHING, text, true).blocks[0] as { children: unknown[] }
  let grown = growText(NOTHING, text, true)
  const items = (grown.blocks[0] as typeof before).children
  grown = growText(grown, `${text}- more\n`, true)
  expect((grown.blocks[0] as typeof before).children.slice(0, 90)).toEqual(items.slice(0, 90))
  expect((grown.blocks[0] as typeof before).children.slice(0, 90).every((item, index) => item === items[index])).toBe(true)
})

test.each(['Text\n\n| Name | Ag', 'Text\n\n| Name | Age |', 'Text\n\n| Name | Age |\n', 'Text\n\n| Name | Age |\n|--', 'Name | Age\n--'])(
  '%j is a table already, without a bar to see',
  (text) => {
    expect(html(growText(NOTHING, text, true, repair)).replace(/<[^>]+>/g, '')).not.toContain('|')
  },
)

test('a row of a growing table is no second head', () => {
  expect(html(growText(NOTHING, '| a | b |\n|--|--|\n| 1 | 2', true, repair))).toBe(whole('| a | b |\n|--|--|\n| 1 | 2'))
  expect(html(growText(NOTHING, '| a | b |\n|--|--|\n| 1 | 2 |\n', true, repair))).toBe(whole('| a | b |\n|--|--|\n| 1 | 2 |\n'))
})

test('a text that is replaced by another is read anew', () => {
  expect(html(growText(growText(NOTHING, 'One', true), '# Two\r\n\r\nthree', false))).toBe(whole('# Two\n\nthree'))
})
