import { renderToStaticMarkup } from 'react-dom/server'
import { test } from 'vitest'
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

const FIRST = Number(process.env.SEED ?? 1)
const SEEDS = Array.from({ length: Number(process.env.SEEDS ?? 60) }, (_, index) => FIRST + index)

test.each(SEEDS)('random Markdown %i that grew in pieces is what it is at once', (seed) => {
  const text = randomMarkdown(seed)
  const random = numbers(seed)
  const largest = [1, 4, 30, 200][seed % 4]!
  let grown = NOTHING
  let since = 0
  for (let end = 0; end < text.length; ) {
    const step = 1 + Math.floor(random() * largest)
    end = Math.min(text.length, end + step)
    since += step
    grown = growText(grown, text.slice(0, end), true, repair)
    if (since < (process.env.STRICT ? 60 : 600) && end < text.length) continue
    since = 0
    const [a, b] = [html(growText(grown, text.slice(0, end), false)), whole(text.slice(0, end))]
    if (a !== b) {
      let i = 0
      while (a[i] === b[i]) i++
      throw new Error(`at ${end} of ${text.length}\nGREW  ${a.slice(Math.max(0, i - 100), i + 150)}\nWHOLE ${b.slice(Math.max(0, i - 100), i + 150)}\nTEXT ${JSON.stringify(text.slice(Math.max(0,end-600), end))}`)
    }
  }
})
