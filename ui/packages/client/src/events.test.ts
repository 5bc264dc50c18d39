import { expect, test } from 'vitest'
import { parseEvent, ProtocolError } from './events.js'

test('an event is read as it was written', () => {
  expect(parseEvent('{"type":"text-delta","text":"h\\u00e9"}')).toEqual({ type: 'text-delta', text: 'hé' })
})

test('a type of a newer server is skipped', () => {
  expect(parseEvent('{"type":"audio-delta","bytes":"AA"}')).toBeNull()
  expect(parseEvent('{"type":"toString"}')).toBeNull()
})

test.each(['', '{"type":"text-', '[]', '"text"', '{"text":"x"}', '{"type":"text-delta"}', '{"type":"finish"}'])('%j is not an event', (data) => {
  expect(() => parseEvent(data)).toThrow(ProtocolError)
})
