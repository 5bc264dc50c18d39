import { expect, test } from 'vitest'
import { backoff } from './backoff.js'

test('each failed attempt doubles the wait, up to half a minute', () => {
  expect([1, 2, 3, 4, 5, 6, 7, 8].map((failures) => backoff(failures, 2000, 1))).toEqual([2000, 4000, 8000, 16000, 30000, 30000, 30000, 30000])
})

test('chance takes off up to half of it, and the server chooses the first', () => {
  expect(backoff(2, 2000, 0)).toBe(2000)
  expect(backoff(1, 100, 1)).toBe(100)
})
