import { expect, test } from 'vitest'
import type { LogEvent } from './events.js'
import { EMPTY_MESSAGE, fold, settle, type Message } from './fold-message.js'

const START: LogEvent = { type: 'start', message_id: 'm', model: 'scripted' }
const foldAll = (events: readonly LogEvent[], message: Message = EMPTY_MESSAGE) => events.reduce(fold, message)

test('deltas add up to an answer, its ending closes it', () => {
  const message = foldAll([
    START,
    { type: 'reasoning-delta', text: 'hm' },
    { type: 'text-delta', text: 'Hel' },
    { type: 'text-delta', text: 'lo' },
    { type: 'metadata', data: { fitted: 2 } },
    { type: 'finish', reason: 'stop', usage: { output_tokens: 2 } },
  ])
  expect(message).toMatchObject({ id: 'm', model: 'scripted', text: 'Hello', reasoning: 'hm', state: 'finished', metadata: { fitted: 2 } })
  expect(message.usage).toEqual({ output_tokens: 2 })
})

test('tool calls grow side by side, and a result in parts is joined', () => {
  const { tools } = foldAll([
    { type: 'tool-call-start', id: 'a', name: 'look' },
    { type: 'tool-call-start', id: 'b', name: 'leap' },
    { type: 'tool-call-delta', id: 'a', arguments: '{"x"' },
    { type: 'tool-call-delta', id: 'a', arguments: ':1}' },
    { type: 'tool-call-end', id: 'a' },
    { type: 'tool-result', id: 'a', output: 'one ' },
    { type: 'tool-result', id: 'a', output: 'two' },
  ])
  expect(tools).toEqual([
    { id: 'a', name: 'look', arguments: '{"x":1}', complete: true, output: 'one two' },
    { id: 'b', name: 'leap', arguments: '', complete: false, output: null },
  ])
})

test('an answer without an ending is open, however much of it there is', () => {
  expect(foldAll([START, { type: 'text-delta', text: 'The answer is 42.' }]).state).toBe('open')
})

test.each([
  [{ type: 'stop', by: 'ann' }, 'stopped'],
  [{ type: 'error', code: 'provider', message: 'down' }, 'failed'],
  [{ type: 'error', code: 'lost', message: 'gone' }, 'lost'],
] as const)('%j makes the answer %s', (ending, state) => {
  expect(foldAll([START, ending])).toMatchObject({ state, ending })
})

test('an event of a newer server changes nothing', () => {
  const message = foldAll([START])
  expect(fold(message, { type: 'hologram' } as unknown as LogEvent)).toBe(message)
})

test('nothing follows an ending', () => {
  const ended = foldAll([START, { type: 'stop', by: 'ann' }])
  expect(foldAll([{ type: 'text-delta', text: 'more' }, START, { type: 'finish', reason: 'stop' }], ended)).toBe(ended)
})

test('a replay from the start takes the place of what was there', () => {
  const once: LogEvent[] = [START, { type: 'text-delta', text: 'Hello' }]
  expect(foldAll([...once, ...once])).toEqual(foldAll(once))
})

const LOST = { model: 'scripted', state: 'lost', ending: { type: 'error', code: 'lost', message: 'gone' }, usage: null } as const

test('a summary never takes back text that was already shown', () => {
  const shown = foldAll([START, { type: 'text-delta', text: 'Hello world' }])
  expect(settle(shown, { ...LOST, text: 'Hello' })).toMatchObject({ text: 'Hello world', state: 'lost' })
  expect(settle(shown, { ...LOST, text: 'Hello world!' }).text).toBe('Hello world!')
})

test('what was shown of an answer that has gone on since then is what the server says', () => {
  const shown = foldAll([START, { type: 'text-delta', text: 'A river that nobody has stored' }])
  const seam = { type: 'continued', cause: 'server', way: 'prompt', after: '1-2', rewind: '1-2' } as const
  const log = { ...LOST, text: 'A river begins', continued: [seam] }
  expect(settle(shown, log)).toMatchObject({ text: 'A river begins', continued: [seam] })
  const seen = fold(fold(shown, seam), { type: 'text-delta', text: ', and more' })
  expect(settle(seen, log)).toMatchObject({ text: seen.text, continued: [{ ...seam, at: shown.text.length }] })
})

test('a summary brings reasoning, tools and metadata too, and takes none of them back', () => {
  const events: LogEvent[] = [
    START,
    { type: 'metadata', data: { fitted: 2 } },
    { type: 'reasoning-delta', text: 'hm' },
    { type: 'tool-call-start', id: 'a', name: 'look' },
    { type: 'tool-call-delta', id: 'a', arguments: '{' },
    { type: 'tool-call-delta', id: 'a', arguments: '}' },
    { type: 'tool-call-end', id: 'a' },
    { type: 'tool-call-start', id: 'b', name: 'leap' },
    { type: 'tool-result', id: 'a', output: 'one ' },
    { type: 'tool-result', id: 'a', output: 'two' },
    { type: 'metadata', data: { sources: 1 } },
  ]
  // The reader or the store may be ahead; the longer of the two is the answer.
  for (let seen = 1; seen <= events.length; seen++) {
    for (let stored = 1; stored <= events.length; stored++) {
      const settled = settle(foldAll(events.slice(0, seen)), { ...foldAll(events.slice(0, stored)), ...LOST })
      expect(settled).toEqual({ ...foldAll(events.slice(0, Math.max(seen, stored))), ...LOST })
    }
  }
})

test('a summary of an older server, which has text only, leaves the rest as it was shown', () => {
  const shown = foldAll([START, { type: 'reasoning-delta', text: 'hm' }, { type: 'tool-call-start', id: 'a', name: 'look' }])
  expect(settle(shown, { ...LOST, text: 'Hello' })).toEqual({ ...shown, ...LOST, text: 'Hello' })
})
