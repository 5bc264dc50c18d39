import { expect, test } from 'vitest'
import { formatsOf } from './formats'

test('spans of time read in the unit that suits them', () => {
  const { duration } = formatsOf('en')
  expect([0.25, 1.26, 89, 600, 7200].map(duration)).toEqual(['250 ms', '1.3 sec', '89 sec', '10 min', '2 hr'])
})

test('how long ago is said as people of the language say it', () => {
  const now = Date.UTC(2026, 0, 10)
  const said = (language: string) => [0, 180_000, 3 * 3_600_000, 50 * 3_600_000].map((age) => formatsOf(language).ago(now - age, now))
  expect(said('en')).toEqual(['now', '3 minutes ago', '3 hours ago', '2 days ago'])
  expect(said('de')).toEqual(['jetzt', 'vor 3 Minuten', 'vor 3 Stunden', 'vorgestern'])
})
