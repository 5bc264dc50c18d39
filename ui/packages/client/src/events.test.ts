import { expect, test } from 'vitest'
import { parseEvent } from './events.js'

test('an event is read as it was written', () => {
  expect(parseEvent('{"type":"text-delta","text":"h\\u00e9"}')).toEqual({ type: 'text-delta', text: 'hé' })
})

test('so is an event of a newer server, whose type means nothing here', () => {
  expect(parseEvent('{"type":"audio-delta","bytes":"AA"}')).toEqual({ type: 'audio-delta', bytes: 'AA' })
})

test.each(['', '{"type":"text-', 'null', '[]', '"text"', '{"text":"x"}'])('%j is not an event', (data) => {
  expect(() => parseEvent(data)).toThrow(SyntaxError)
})
