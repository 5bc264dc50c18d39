import { EMPTY_MESSAGE, type Timing, type Usage } from '@headwater/client'
import { expect, test } from 'vitest'
import { ago, statsOf } from './answer-stats'

const stats = (timing: Timing | null, usage: Usage | null) => statsOf({ timing, message: { ...EMPTY_MESSAGE, usage } })

test('figures are shown as far as they are known', () => {
  expect(stats({ first_token: 0.42, duration: 2.42 }, { output_tokens: 90 })).toEqual(['420 ms to first token', '45 tokens/s', '90 tokens'])
  expect(stats({ first_token: 1.25, duration: 2 }, null)).toEqual(['1.3 s to first token'])
  expect(stats({ first_token: null, duration: 2 }, null)).toEqual([])
  expect(stats(null, { output_tokens: 1 })).toEqual(['1 token'])
})

test('a burst without a duration has no rate', () => {
  expect(stats({ first_token: 0.1, duration: 0.1 }, { output_tokens: 50 })).toEqual(['100 ms to first token', '50 tokens'])
})

test.each([
  [5_000, 'just now'],
  [185_000, '3 min ago'],
  [7_200_000, '2 h ago'],
  [200_000_000, '2 days ago'],
])('%i ms is %s', (milliseconds, words) => expect(ago(milliseconds)).toBe(words))
