import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createPublisher } from './publisher.js'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('the first change shows at once, a burst at most every interval, the last one always', () => {
  const seen = vi.fn<() => void>()
  const publisher = createPublisher(() => 50)
  publisher.subscribe(seen)
  publisher.soon()
  expect(seen).toHaveBeenCalledTimes(1)
  for (let step = 0; step < 20; step++) {
    publisher.soon()
    vi.advanceTimersByTime(10)
  }
  expect(seen).toHaveBeenCalledTimes(5)
  publisher.soon()
  vi.advanceTimersByTime(50)
  expect(seen).toHaveBeenCalledTimes(6)
})

test('an ending does not wait for the interval', () => {
  const seen = vi.fn<() => void>()
  const publisher = createPublisher(() => 50)
  const leave = publisher.subscribe(seen)
  publisher.soon()
  publisher.soon()
  publisher.now()
  expect(seen).toHaveBeenCalledTimes(2)
  vi.advanceTimersByTime(200)
  expect(seen).toHaveBeenCalledTimes(2)
  leave()
  publisher.now()
  expect(seen).toHaveBeenCalledTimes(2)
})

test('what is published stays the same object between two publications, whatever has changed meanwhile', () => {
  const publisher = createPublisher(() => 50)
  let text = ''
  const snapshot = publisher.published(() => ({ text }))
  publisher.soon()
  const first = snapshot()
  text = 'more'
  publisher.soon()
  expect(snapshot()).toBe(first)
  vi.advanceTimersByTime(50)
  expect(snapshot()).toEqual({ text: 'more' })
})
