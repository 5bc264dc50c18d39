// @vitest-environment jsdom
import { beforeEach, expect, test } from 'vitest'
import { browserStorage } from './browser-storage.js'
import type { SavedChat } from './chat.js'
import { EMPTY_MESSAGE } from './fold-message.js'

const KEY = 'headwater.chat:/'
const storage = browserStorage(KEY)
const question = (text: string) => ({ role: 'user', id: text.slice(0, 9), text }) as const
const chat = (...texts: string[]): SavedChat => ({ id: 'c', turns: texts.map(question) })

beforeEach(() => localStorage.clear())

test('a chat comes back as it was', () => {
  expect(storage.load()).toBeNull()
  storage.save(chat('one', 'two'))
  expect(storage.load()).toEqual(chat('one', 'two'))
})

test('a long chat loses its oldest turns, never its newest', () => {
  const long = 'x'.repeat(200_000)
  storage.save(chat(`a${long}`, `b${long}`, `c${long}`, 'd'))
  expect(storage.load()?.turns.map(({ id }) => id[0])).toEqual(['c', 'd'])
})

test.each(['', '{', 'null', '{"version":99,"id":"c","turns":[]}', '{"version":1}', '{"version":1,"id":"c","turns":[{"role":"assistant","id":"a"}]}'])('%j is no chat', (text) => {
  localStorage.setItem(KEY, text)
  expect(storage.load()).toBeNull()
})

test('an answer that an older page has kept is an answer without seams', () => {
  const { continued: _, ...older } = EMPTY_MESSAGE
  const answer = { role: 'assistant', id: 'a', status: 'finished', message: older }
  localStorage.setItem(KEY, JSON.stringify({ version: 1, id: 'c', turns: [answer] }))
  expect(storage.load()?.turns).toEqual([{ ...answer, message: EMPTY_MESSAGE }])
})

test('forbidden storage costs nothing but the reload', () => {
  const forbidden = browserStorage(KEY, () => {
    throw new DOMException('denied', 'SecurityError')
  })
  expect(() => forbidden.save(chat('one'))).not.toThrow()
  expect(forbidden.load()).toBeNull()
})
