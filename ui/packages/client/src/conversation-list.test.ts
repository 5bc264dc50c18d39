import { expect, test, vi } from 'vitest'
import { json, problem } from '../../../testing/log-server.js'
import { begun, FINISH, idle, logs, openTab, server, storage, text, texts, until, useServer } from './conversations.test.fixture.js'

useServer()

test('the same conversation is the same object; one that the server does not have is missing', async () => {
  const tab = openTab()
  const chat = tab.open('nowhere-to-be-found')
  expect(tab.open('nowhere-to-be-found')).toBe(chat)
  await until(chat, ({ state }) => state === 'missing')
})

test('a deleted conversation is hidden at once, and deleted when the time to undo is over', async () => {
  server.keepTurns('travel-plans', 2)
  server.keepTurns('other-chat', 2)
  const tab = openTab()
  await until(tab, ({ state }) => state === 'ready')
  tab.remove('travel-plans')
  expect(tab.getSnapshot()).toMatchObject({ items: [{ id: 'other-chat' }], removed: [{ id: 'travel-plans' }] })
  tab.restore('travel-plans')
  expect(tab.getSnapshot()).toMatchObject({ items: [{ id: 'other-chat' }, { id: 'travel-plans' }], removed: [] })
  expect(storage.length).toBe(0)
  tab.remove('travel-plans')
  tab.flush()
  await until(tab, () => true)
  tab.close()
  // The page went before the server confirmed it; the next one goes on, and offers no undo that could not be kept.
  const next = openTab()
  expect(next.getSnapshot().removed).toEqual([])
  await until(next, ({ state }) => state === 'ready')
  expect(next.getSnapshot().items).toMatchObject([{ id: 'other-chat' }])
})

test('the list says which chat has a running answer, and no longer than that', async () => {
  const tab = openTab()
  const chat = tab.create()
  chat.send('Where to?')
  await begun(chat)
  expect(tab.getSnapshot().items).toMatchObject([{ id: chat.id, live: true }])
  logs[0]!.append(text('Home'), FINISH)
  await idle(chat)
  expect(tab.getSnapshot().items).toMatchObject([{ id: chat.id, live: false }])
})

test('what another tab asks is seen at once, and what another device does at the next look', async () => {
  server.keepTurns('travel-plans', 2)
  const [one, two] = [openTab(), openTab({ interval: 50 })]
  const [here, there] = [one.open('travel-plans'), two.open('travel-plans')]
  await until(here, ({ state }) => state === 'ready')
  there.subscribe(() => undefined)
  here.send('And then?')
  await until(there, ({ turns }) => turns.length === 4)
  await begun(here)
  logs[0]!.append(text('Home'), FINISH)
  await idle(there)
  const kept = server.conversations.get('travel-plans')!
  Object.assign(kept, { title: 'Renamed', leaf: 'turn-1', version: 9 })
  await until(there, ({ title }) => title === 'Renamed')
  expect(texts(there.getSnapshot())).toEqual(['Question 0', 'Answer 1'])
  // Nothing is sent twice that has not changed.
  const { length } = server.requests('GET', /travel-plans$/)
  await until(there, () => server.requests('GET', /travel-plans$/).length > length + 1)
  expect(server.requests('GET', /travel-plans$/).at(-1)!.headers['if-none-match']).toBeDefined()
})

test('a list has pages, is searched, renamed and shared', async () => {
  for (let number = 0; number < 60; number++) server.keepTurns(`chat-number-${number}`, 2)
  const tab = openTab()
  const first = await until(tab, ({ state }) => state === 'ready')
  expect([first.items.length, first.more]).toEqual([50, true])
  await tab.loadMore()
  expect([tab.getSnapshot().items.length, tab.getSnapshot().more]).toEqual([60, false])
  expect(await tab.search('Answer', new AbortController().signal)).toMatchObject({ complete: true, matches: { length: 60, 0: { message: 'turn-1', excerpt: 'Answer 1' } } })
  tab.rename('chat-number-7', 'Seven')
  expect(tab.getSnapshot().items.find(({ id }) => id === 'chat-number-7')).toMatchObject({ title: 'Seven' })
  await until(tab, () => server.conversations.get('chat-number-7')!.title === 'Seven')
  const chat = tab.open('chat-number-8')
  await until(chat, ({ state }) => state === 'ready')
  expect(await chat.share()).toBe(`${server.url}shared?id=token-chat-number-8`)
  await chat.unshare()
  expect(server.conversations.get('chat-number-8')!.shared).toBeNull()
})

test('a chat that is renamed before the server has its question keeps that name', async () => {
  let away = true
  server.override = ({ method }, response) => away && method === 'POST' && (problem(response, 503, 'http_503', 'Away.', { retryable: true }), true)
  const tab = openTab()
  const chat = tab.create()
  chat.send('Where to?')
  tab.rename(chat.id, 'Travels')
  await until(chat, ({ connection }) => connection.state !== 'live')
  away = false
  chat.wake()
  expect((await begun(chat)).title).toBe('Travels')
  await until(tab, () => server.conversations.get(chat.id)!.title === 'Travels')
  expect(chat.getSnapshot()).toMatchObject({ title: 'Travels', problem: null })
})

test('a shared conversation is looked at, followed, and changed by nobody', async () => {
  const owner = openTab()
  const chat = owner.create()
  chat.send('Hello?')
  await begun(chat)
  await chat.share()
  const seen = openTab().openShared(`token-${chat.id}`)
  await begun(seen)
  expect(seen.send('Me too')).toBe(false)
  logs[0]!.append(text('Hi'), FINISH)
  expect(texts(await idle(seen))).toEqual(['Hello?', 'Hi'])
})

test('a deletion that is undone leaves draft and waiting questions, also those of another tab', async () => {
  server.keepTurns('travel-plans', 2)
  const [one, two] = [openTab(), openTab()]
  const chat = two.open('travel-plans')
  await until(chat, ({ state }) => state === 'ready')
  chat.send('One?')
  await begun(chat)
  chat.send('Two?')
  two.keepDraft('travel-plans', 'Half a thought')
  await until(one, ({ items }) => items.length === 1)
  one.remove('travel-plans')
  await until(two, ({ removed }) => removed.length === 1)
  one.restore('travel-plans')
  await until(two, ({ items, removed }) => items.length === 1 && removed.length === 0)
  expect(two.draft('travel-plans')).toBe('Half a thought')
  expect(chat.getSnapshot()).toMatchObject({ state: 'ready', queue: [{ text: 'Two?' }] })
})

test('a deletion that is done ends the chat in another tab, too', async () => {
  server.keepTurns('travel-plans', 2)
  const [one, two] = [openTab(), openTab()]
  const chat = two.open('travel-plans')
  await until(chat, ({ state }) => state === 'ready')
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  one.remove('travel-plans')
  await vi.advanceTimersByTimeAsync(8000)
  vi.useRealTimers()
  await until(chat, ({ state }) => state === 'missing')
  expect(two.getSnapshot().items).toEqual([])
})

test('a page that is closed deletes nothing more; the next one goes on', async () => {
  server.keepTurns('travel-plans', 2)
  const methods: (string | undefined)[] = []
  const tab = openTab({ fetch: (address, init) => (methods.push(init?.method), fetch(address, init)) })
  await until(tab, ({ items }) => items.length === 1)
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  tab.remove('travel-plans')
  tab.close()
  await vi.advanceTimersByTimeAsync(8000)
  expect(methods).not.toContain('DELETE')
  const next = openTab()
  await vi.advanceTimersByTimeAsync(8000)
  vi.useRealTimers()
  await until(next, () => !server.conversations.has('travel-plans'))
})

test('a chat that the server will not delete comes back with its draft', async () => {
  server.keepTurns('travel-plans', 2)
  server.override = ({ method }, response) => method === 'DELETE' && (problem(response, 403, 'not_allowed', 'Not with this key.'), true)
  const tab = openTab()
  await until(tab, ({ items }) => items.length === 1)
  tab.keepDraft('travel-plans', 'Half a thought')
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  tab.remove('travel-plans')
  await vi.advanceTimersByTimeAsync(8000)
  vi.useRealTimers()
  await until(tab, ({ items, removed }) => items.length === 1 && removed.length === 0)
  expect(tab.draft('travel-plans')).toBe('Half a thought')
})

test('a search that had no time for all chats says so', async () => {
  server.override = ({ path }, response) => path.includes('q=') && (json(response, 200, { conversations: [], next: null, complete: false }), true)
  expect(await openTab().search('words', new AbortController().signal)).toEqual({ matches: [], complete: false })
})

test('a new chat takes the draft and the settings of one that never began', () => {
  const { id, configure } = openTab().create()
  configure({ model: 'large' })
  const tab = openTab()
  tab.keepDraft(id, 'Half a thought')
  const chat = tab.create(id)
  expect(chat.id).not.toBe(id)
  expect([tab.draft(chat.id), chat.getSnapshot().settings]).toEqual(['Half a thought', { model: 'large' }])
  expect(Array.from({ length: storage.length }, (_, index) => storage.key(index)).filter((key) => key!.endsWith(id))).toEqual([])
})

test('settings that the browser has damaged are none', () => {
  const { id, configure } = openTab().create()
  configure({ model: 'large' })
  for (let place = 0; place < storage.length; place++) storage.setItem(storage.key(place)!, '{"model')
  const chat = openTab().create(id)
  expect(chat.getSnapshot().settings).toEqual({})
})

test('settings cannot be changed before they are known', async () => {
  server.keepConversation({ id: 'travel-plans', settings: { system: 'Be brief.' } })
  const chat = openTab().open('travel-plans')
  chat.configure({ model: 'large' })
  expect((await until(chat, ({ state }) => state === 'ready')).settings).toEqual({ system: 'Be brief.' })
  expect(server.requests('PATCH', /travel-plans/)).toEqual([])
})
