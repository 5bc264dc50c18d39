import { expect, test } from 'vitest'
import { summary } from '../../../testing/fake-conversations'
import { dayGroups } from './day-groups'

const at = (month: number, day: number, hour = 12) => new Date(2026, month - 1, day, hour).getTime()
const namesOf = (now: number, ...times: number[]) =>
  dayGroups(times.map((updatedAt, place) => summary(String(place), '', { updatedAt })), now).map(({ name, items }) => [
    typeof name === 'string' ? name : `${name.getFullYear()}-${name.getMonth() + 1}`,
    items.length,
  ])

test('chats are grouped by the calendar, not by hours', () => {
  expect(namesOf(at(3, 10, 1), at(3, 10, 0), at(3, 9, 23), at(3, 9, 0), at(3, 8, 23), at(3, 3, 0), at(3, 2, 23), at(2, 28), at(2, 1), at(12, 31) - 365 * 86_400_000)).toEqual([
    ['today', 1],
    ['yesterday', 2],
    ['week', 2],
    ['2026-3', 1],
    ['2026-2', 2],
    ['2025-12', 1],
  ])
})

test('the day after the clocks changed still has a yesterday', () => {
  expect(namesOf(at(3, 30, 0), at(3, 29, 0))).toEqual([['yesterday', 1]])
})

test('an empty list has no groups', () => {
  expect(dayGroups([], 0)).toEqual([])
})
