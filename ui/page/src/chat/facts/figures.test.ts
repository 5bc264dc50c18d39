import { EMPTY_MESSAGE, type Timing, type Usage } from '@headwater/client'
import { expect, test } from 'vitest'
import { words as ar } from '../../words/ar'
import { words as de } from '../../words/de'
import { words as en } from '../../words/en'
import { formatsOf } from '../../words/formats'
import { costOf, curlOf, figuresOf, streamOf } from './figures'

const figures = (timing: Timing | null, usage: (Usage & { details?: object }) | null) => figuresOf({ timing, message: { ...EMPTY_MESSAGE, usage } })

test('figures are given as far as they are known', () => {
  expect(figures({ first_token: 0.42, duration: 2.42 }, { output_tokens: 90 }).rate).toBeCloseTo(45)
  expect(figures({ first_token: 0.1, duration: 0.1 }, { output_tokens: 50 }).rate).toBeNull()
  expect(figures(null, null)).toEqual({ input: 0, cachedInput: 0, output: 0, reasoning: 0, rate: null })
})

test.each([
  [{ input_token_details: { cache_read: 4 }, output_token_details: { reasoning: 7 } }],
  [{ prompt_tokens_details: { cached_tokens: 4 }, completion_tokens_details: { reasoning_tokens: 7 } }],
])('the finer counts of %o are read', (details) => {
  const { cachedInput, reasoning } = figures(null, { input_tokens: 9, output_tokens: 8, details })
  expect([cachedInput, reasoning]).toEqual([4, 7])
})

test('counts with names of their own win over the details', () => {
  const details = { input_token_details: { flex_cache_read: 4 } }
  const { cachedInput, reasoning } = figures(null, { input_tokens: 9, output_tokens: 8, cached_tokens: 4, reasoning_tokens: 7, details })
  expect([cachedInput, reasoning]).toEqual([4, 7])
})

test('a cost is shown only where the server or the provider says one', () => {
  expect(costOf({ message: EMPTY_MESSAGE })).toBeNull()
  expect(costOf({ message: { ...EMPTY_MESSAGE, metadata: { cost: 0.0123 } } })).toBe(0.0123)
  expect(costOf({ message: { ...EMPTY_MESSAGE, usage: { cost: 0.5 } } })).toBe(0.5)
  expect(costOf({ message: { ...EMPTY_MESSAGE, usage: { cost: null } } })).toBeNull()
})

test.each([
  [0.0000123, '$0.000012'],
  [0.01234, '$0.0123'],
  [12.345, '$12.35'],
])('%f dollars are %s', (dollars, written) => expect(formatsOf('en').money(dollars)).toBe(written))

test('the curl of an answer asks for its key where one is wanted, and cannot be broken out of', () => {
  expect(curlOf('https://x.example/api/streams/a', true)).toBe(
    `curl -N -H 'Accept: text/event-stream' -H "Authorization: Bearer $HEADWATER_KEY" 'https://x.example/api/streams/a'`,
  )
  expect(curlOf("https://x.example/a'b", false)).toContain(`'https://x.example/a'\\''b'`)
  expect(streamOf('/api/streams/abc')).toBe('abc')
})

test.each([
  [5_000, 'just now'],
  [185_000, '3 min ago'],
  [7_200_000, '2 h ago'],
  [200_000_000, '2 days ago'],
])('%i ms is %s', (milliseconds, ago) => expect(en.chat.ago(milliseconds)).toBe(ago))

test.each([de.chat, ar.chat])('every text of another language is there', (words) => {
  expect(Object.keys(words).sort()).toEqual(Object.keys(en.chat).sort())
  const sentences = [words.earlier(1), words.earlier(40), words.saved(1, 2, '$3'), words.usage(1, 2, 3, 4), words.retryIn(2), words.thoughtFor(0.4), words.continuedBy(2, 'server')]
  for (const sentence of sentences) expect(sentence).not.toMatch(/undefined|NaN/)
})
