/** Random Markdown for tests, the same for the same seed: every kind of block, nested, with broken and hostile bits. */
export function randomMarkdown(seed: number): string {
  const random = numbers(seed)
  const below = (limit: number) => Math.floor(random() * limit)
  const pick = <T>(of: readonly T[]): T => of[below(of.length)]!
  const word = () => pick(WORDS)
  const run = (least: number, most: number, make: () => string, between: string) =>
    Array.from({ length: least + below(most - least + 1) }, make).join(between)
  const span = (): string =>
    pick([
      word,
      word,
      word,
      word,
      () => `**${run(1, 3, word, ' ')}**`,
      () => `*${word()}*`,
      () => `_${word()}_`,
      () => `~~${word()}~~`,
      () => `\`${run(1, 3, word, ' ')}\``,
      () => `[${word()}](https://example.org/${below(9)})`,
      () => `[${word()}][${pick(LABELS)}]`,
      () => `[${pick(LABELS)}]`,
      () => `a claim[^${pick(NOTES)}]`,
      () => pick(BITS),
    ])()
  const sentence = () => `${run(3, 14, span, ' ')}${pick(['.', '.', '?', ':', '。'])}`
  const prose = () => run(1, 6, sentence, pick([' ', ' ', '\n', '  \n', '']))
  const indent = (text: string, first: string, rest: string) =>
    text
      .split('\n')
      .map((line, index) => (index === 0 ? first + line : line === '' ? pick(['', rest]) : rest + line))
      .join('\n')
  const item = (depth: number, marker: string) => {
    const inner = depth > 0 && below(3) === 0 ? `${prose()}${pick(['\n', '\n\n'])}${blocks(depth - 1, 2)}` : pick([word, sentence, prose, () => ''])()
    return indent(`${pick(['', '', '[ ] ', '[x] '])}${inner}`, marker, ' '.repeat(marker.length))
  }
  const list = (depth: number) => {
    const count = pick([2, 3, 5, 12])
    const start = pick([1, 1, 3, 98])
    const ordered = below(2) === 0
    const gap = pick(['\n', '\n', '\n\n'])
    return Array.from({ length: count }, (_, index) => item(depth, ordered ? `${start + index}. ` : pick(['- ', '- ', '-  ']))).join(gap)
  }
  const row = (cells: number) => `| ${run(cells, cells, () => pick([word, span])(), ' | ')} |`
  const table = () => {
    const cells = 1 + below(4)
    const rows = pick([0, 1, 4, 20])
    const align = run(cells, cells, () => pick(['---', ':-:', '--:']), '|')
    return [row(cells), `|${align}|`, ...Array.from({ length: rows }, () => row(pick([cells, cells, cells + 1, 1])))].join('\n')
  }
  const code = () => {
    const fence = pick(['```', '```', '~~~', '````'])
    const lines = run(0, 12, () => pick([word, () => '[INFO]: started', () => '', () => '  indented', sentence, () => '# no heading', () => '``'])(), '\n')
    return `${fence}${pick(['', 'ts', 'js title="a b"'])}\n${lines}\n${pick([fence, fence, fence, ''])}`
  }
  const block = (depth: number): string =>
    pick([
      prose,
      prose,
      prose,
      () => `${'#'.repeat(1 + below(4))} ${run(1, 5, span, ' ')}`,
      () => `${prose()}\n${pick(['---', '==='])}`,
      () => list(depth),
      () => list(depth),
      table,
      code,
      () => (depth > 0 ? indent(blocks(depth - 1, 3), '> ', '> ') : `> ${sentence()}`),
      () => '---',
      () => `<div>\n${word()} <b>${word()}</b>\n</div>`,
      () => `    ${word()}\n    ${word()}`,
      () => `[${pick(LABELS)}]: https://example.org/${word()}${pick(['', ' "title"'])}`,
      () => `[^${pick(NOTES)}]: ${indent(prose(), '', '    ')}`,
      () => run(1, 4, () => pick(BITS), pick([' ', '\n'])),
    ])()
  const blocks = (depth: number, most: number): string => run(1, most, () => block(depth), pick(['\n\n', '\n\n', '\n\n', '\n']))
  return blocks(2, 8)
}

/** A random generator with a seed (mulberry32): numbers from 0 to below 1. */
export function numbers(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

const WORDS = ['river', 'a', 'stone', 'the', 'of', '12', 'snake_case', 'Straße', '水', 'and', 'e.g.', 'x', 'https://example.org/a_b', 'me@example.org', '~5', 'wide']
const LABELS = ['one', 'Two', 'three words here', '1']
const NOTES = ['1', '2', 'note']
const BITS = ['*', '**', '_', '`', '[', ']', '](', '<', '<b', '|', '| a | b', '|--|', '---', '===', '- ', '1.', '12. ', '#', '> ', '>', '\\', '\\*', '&amp;', '$5', '!', '![', '\t', '```', '[x]:', '[^1]', '- - -', '+', '  ', '\n']
