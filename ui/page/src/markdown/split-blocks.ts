import { Marked } from 'marked'

/** A Markdown text cut into blocks that can be rendered on their own; joined they are the text. */
export interface Blocks {
  readonly source: string
  readonly blocks: readonly string[]
}

/** The blocks of an empty text. */
export const NO_BLOCKS: Blocks = { source: '', blocks: [] }

// Reference definitions and footnotes tie distant blocks together, so such a text must stay whole.
const DEFINITION = /^ {0,3}\[[^\]\n]+\]:/m
// New text may close, lengthen or merge the last block and the one before it, never earlier ones.
const UNSETTLED = 2

// A display formula may have lines that look like lists; it ends with its sign, before a blank line, or with the text.
const FORMULA = /^ {0,3}(?:\$\$(?!\$)|\\\[)(?:(?!\n[ \t]*\n)[^])*?(?:(?:\$\$|\\\])[ \t]*(?:\n|$)|$)/
const marked = new Marked({
  extensions: [
    {
      name: 'formula',
      level: 'block',
      start: (text) => /\n {0,3}(?:\$\$|\\\[)/.exec(text)?.index,
      tokenizer: (text) => {
        const [raw] = FORMULA.exec(text) ?? []
        return raw ? { type: 'formula', raw } : undefined
      },
    },
  ],
})

/** Splits a text, re-reading only the end of it when it merely grew. */
export function splitBlocks(previous: Blocks, text: string): Blocks {
  const source = text.replace(/\r\n?/g, '\n')
  if (source === previous.source) return previous
  if (DEFINITION.test(source)) return { source, blocks: [source] }
  const settled = source.startsWith(previous.source) ? previous.blocks.slice(0, -UNSETTLED) : []
  const settledLength = settled.reduce((length, block) => length + block.length, 0)
  const tail = source.slice(settledLength)
  const blocks = lexBlocks(tail)
  // A lexer that altered the text would make the lengths above lie: then nothing is split.
  return { source, blocks: blocks.join('') === tail ? [...settled, ...blocks] : [...settled, tail] }
}

function lexBlocks(text: string): string[] {
  const blocks: string[] = []
  for (const token of marked.lexer(text)) {
    if (token.type === 'space' && blocks.length > 0) blocks[blocks.length - 1] += token.raw
    else blocks.push(token.raw)
  }
  return blocks
}
