import { expect, test } from 'vitest'
import { createFrameParser } from './frames.js'

const parse = (...pieces: string[]) => pieces.flatMap(createFrameParser())

test('a frame has the fields of its lines', () => {
  expect(parse('retry: 2000\n\nid: 1-1\ndata: {"a": 1}\n\n')).toEqual([{ retry: '2000' }, { id: '1-1', data: '{"a": 1}' }])
})

test('a comment is a frame without any, and leaves the one around it whole', () => {
  expect(parse(':\n')).toEqual([{}])
  expect(parse('id: 1\n:\ndata: x\n\n')).toEqual([{}, { id: '1', data: 'x' }])
})

test('lines may end as a proxy writes them', () => {
  expect(parse('id: 1\r\ndata: x\r', '\n\r\n')).toEqual([{ id: '1', data: 'x' }])
})

test('a colon in the value belongs to the value, and one space before it does not', () => {
  expect(parse('data: a: b\n\n', 'data:c\n\n', 'data:  d\n\n')).toEqual([{ data: 'a: b' }, { data: 'c' }, { data: ' d' }])
})

test('half a frame is nothing yet', () => {
  expect(parse('id: 1\ndata: x\n')).toEqual([])
})

test('a line without end is refused, and not kept', () => {
  expect(() => parse('data: '.padEnd(1_000_001, 'x'))).toThrow(SyntaxError)
})
