import { expect, test, vi } from 'vitest'
import { problem } from '../../../testing/log-server.js'
import { newAnswer } from './chat.js'
import { answerOf, asks, begun, FINISH, idle, logs, openTab, server, storage, text, texts, until, useServer } from './conversations.test.fixture.js'
import { EMPTY_MESSAGE } from './fold-message.js'

useServer()

test('a question is in the storage before it is sent, and leaves it when the server has it', async () => {
  let kept = 0
  server.override = ({ method }) => void (method === 'POST' && (kept = storage.length))
  const chat = openTab().create()
  chat.send('Hello?')
  await begun(chat)
  expect(kept).toBe(1)
  expect(storage.length).toBe(0)
})

test('a response that is lost on the way does not make the question two', async () => {
  let lost = 0
  const kept = { method: 'POST' }
  const chat = openTab({
    fetch: async (...request) => {
      const response = await fetch(...request)
      if (request[1]?.method === kept.method && lost++ === 0) throw new TypeError('The connection broke.')
      return response
    },
  }).create()
  chat.send('Hello?')
  await begun(chat)
  logs[0]!.append(text('Hi'), FINISH)
  expect(texts(await idle(chat))).toEqual(['Hello?', 'Hi'])
  expect(asks()).toHaveLength(2)
  expect(logs).toHaveLength(1)
})

test('a question that was asked offline is sent after a reload', async () => {
  let offline = true
  const net: typeof fetch = (...request) => (offline ? Promise.reject(new TypeError('offline')) : fetch(...request))
  const before = openTab({ fetch: net, online: () => false })
  const chat = before.create()
  chat.send('Are you there?')
  const waiting = await until(chat, ({ connection }) => connection.retryAt !== null)
  expect(waiting).toMatchObject({ connection: { state: 'offline' }, turns: [{ text: 'Are you there?' }, { status: 'streaming' }] })
  before.close()
  offline = false
  const after = openTab({ fetch: net })
  const again = after.open(chat.id)
  await begun(again)
  logs[0]!.append(text('Yes'), FINISH)
  expect(texts(await idle(again))).toEqual(['Are you there?', 'Yes'])
  expect(storage.length).toBe(0)
})

test('another tab sends what a tab that has gone could not, also for a chat that it does not show', async () => {
  server.keepTurns('travel-plans', 2)
  const before = openTab({ fetch: () => Promise.reject(new TypeError('offline')) })
  before.open('travel-plans').send('Where to?')
  before.close()
  openTab()
  const seen = openTab().open('travel-plans')
  await begun(seen)
  expect(asks()[0]).toMatchObject({ content: 'Where to?', parent: 'turn-1' })
})

test('two tabs that ask at once both get their answer, one after the other', async () => {
  server.keepTurns('travel-plans', 2)
  const [one, two] = [openTab().open('travel-plans'), openTab().open('travel-plans')]
  await until(one, ({ state }) => state === 'ready')
  await until(two, ({ state }) => state === 'ready')
  one.send('First?')
  two.send('Second?')
  await until(one, () => logs.length === 1)
  const queued = await until(two, ({ queue, turns }) => queue.length + turns.length > 4 || queue.length === 1)
  expect(queued.busy).toBe(true)
  logs[0]!.append(text('One'), FINISH)
  await until(two, () => logs.length === 2)
  logs[1]!.append(text('Two'), FINISH)
  await until(two, (now) => now.turns.length === 6 && !now.busy)
  const all = texts(two.getSnapshot())
  expect(all.toSorted()).toEqual(['Answer 1', 'First?', 'One', 'Question 0', 'Second?', 'Two'])
  one.wake()
  await until(one, (now) => now.turns.length === 6 && !now.busy)
  expect(texts(one.getSnapshot())).toEqual(all)
  expect(storage.length).toBe(0)
})

test('three hundred turns stay three hundred', async () => {
  server.keepTurns('long-talk', 300)
  const chat = openTab().open('long-talk')
  await until(chat, ({ state }) => state === 'ready')
  chat.send('More?')
  await begun(chat)
  logs[0]!.append(text('Yes'), FINISH)
  expect((await idle(chat)).turns).toHaveLength(302)
  const again = openTab().open('long-talk')
  expect((await until(again, ({ state }) => state === 'ready')).turns).toHaveLength(302)
})

test('what a person typed is kept for each chat over a reload', () => {
  const before = openTab()
  before.keepDraft('chat-one', 'half a thou')
  before.keepDraft('chat-two', 'other')
  before.keepDraft('chat-two', '')
  const after = openTab()
  expect([after.draft('chat-one'), after.draft('chat-two')]).toEqual(['half a thou', ''])
})

test.each(['full', 'forbidden'] as const)('a storage that is %s is told, and the question is asked all the same', async (how) => {
  storage[how] = true
  server.override = ({ method }, response) => method === 'POST' && server.received.length < 4 && (problem(response, 503, 'draining', 'Later.', { retryable: true }), true)
  const chat = openTab().create()
  chat.send('Hello?')
  expect(chat.getSnapshot().problem).toMatchObject({ code: 'storage' })
  await begun(chat)
  expect(chat.getSnapshot().problem).toBeNull()
})

test('a refused question stays, with the reason, until it is sent again', async () => {
  server.override = ({ method }, response) => method === 'POST' && (problem(response, 422, 'invalid_prompt', 'Too long.'), true)
  const before = openTab()
  const chat = before.create()
  chat.send('Hello?')
  await until(chat, ({ busy }) => !busy)
  expect(answerOf(chat.getSnapshot())).toMatchObject({ status: 'failed', failure: { code: 'invalid_prompt', message: 'Too long.' } })
  before.close()
  const again = openTab().open(chat.id)
  await until(again, ({ turns }) => turns.length === 2)
  expect(answerOf(again.getSnapshot())).toMatchObject({ status: 'failed', failure: { message: 'Too long.' } })
  server.override = () => false
  again.retry()
  await begun(again)
  expect(texts(again.getSnapshot())).toEqual(['Hello?', ''])
  expect(storage.length).toBe(0)
})

test('stopping a question that cannot be sent holds it back', async () => {
  const chat = openTab({ fetch: () => Promise.reject(new TypeError('offline')) }).create()
  chat.send('Hello?')
  await until(chat, (now) => answerOf(now).reconnecting)
  await chat.stop()
  expect(chat.getSnapshot()).toMatchObject({ busy: false, turns: [{}, { status: 'failed', failure: { code: 'unsent' } }] })
  expect(storage.length).toBe(1)
})

test('a page is back within two seconds of its server, and says when it tries again', async () => {
  const tab = openTab()
  const chat = tab.create()
  chat.send('Hello?')
  await begun(chat)
  logs[0]!.append(text('Half'))
  await until(chat, (now) => answerOf(now).message.text === 'Half')
  const { port } = new URL(server.url)
  await server.close()
  const lost = await until(chat, (now) => answerOf(now).reconnecting && now.connection.retryAt !== null)
  expect(lost).toMatchObject({ busy: true, connection: { state: 'reconnecting' } })
  expect(lost.connection.retryAt! - Date.now()).toBeLessThan(2000)
  await until(chat, ({ connection }) => connection.retryAt! > lost.connection.retryAt!)
  await server.start(Number(port))
  const back = Date.now()
  logs[0]!.append(text(' done'), FINISH)
  expect(texts(await idle(chat))).toEqual(['Hello?', 'Half done'])
  expect(Date.now() - back).toBeLessThan(2000)
  expect(chat.getSnapshot().connection).toEqual({ state: 'live', retryAt: null })
})

test('waking tries at once', async () => {
  let away = true
  const chat = openTab({ hidden: () => true, fetch: (...request) => (away ? Promise.reject(new TypeError('away')) : fetch(...request)) }).create()
  chat.send('Hello?')
  await until(chat, ({ connection }) => (connection.retryAt ?? 0) > Date.now() + 10_000)
  away = false
  chat.wake()
  await begun(chat)
})

test('an answer whose log has gone is taken from the conversation', async () => {
  const chat = openTab().create()
  chat.send('Hello?')
  await begun(chat)
  logs[0]!.append(text('H'))
  await until(chat, (now) => answerOf(now).message.text === 'H')
  const kept = server.conversations.get(chat.id)!
  Object.assign(kept.messages[1]!, { state: 'lost', text: 'Ha', ending: { type: 'error', code: 'lost', message: 'The rest is lost.' } })
  kept.version++
  server.logs.clear()
  server.cut()
  const now = await idle(chat)
  expect(answerOf(now)).toMatchObject({ status: 'failed', failure: { code: 'lost' }, message: { text: 'Ha' } })
})

test('settings of a new chat survive a reload and go with its first question; later ones are changed on the server', async () => {
  const before = openTab()
  const { id, configure } = before.create()
  configure({ system: 'Be brief.' })
  before.close()
  const chat = openTab().open(id)
  await until(chat, ({ state }) => state === 'new')
  expect(chat.getSnapshot().settings).toEqual({ system: 'Be brief.' })
  chat.send('Hello?')
  await begun(chat)
  expect(asks()[0]).toMatchObject({ settings: { system: 'Be brief.' } })
  chat.configure({ system: 'Be long.' })
  await until(chat, () => server.conversations.get(id)!.settings.system === 'Be long.')
  expect(storage.length).toBe(0)
})

test('the one chat of an earlier page becomes a conversation, once', async () => {
  const turns = [
    { role: 'user', id: 'question-1', text: 'Old?' },
    { ...newAnswer(false, 'answer-01'), status: 'finished', message: { ...EMPTY_MESSAGE, text: 'Yes', state: 'finished', ending: FINISH } },
  ]
  storage.setItem('headwater.chat:/', JSON.stringify({ version: 1, id: 'old-chat', turns }))
  const tab = openTab({ oneChat: 'headwater.chat:/' })
  await until(tab, ({ items }) => items.length === 1)
  const chat = tab.open('old-chat')
  expect(texts(await idle(chat))).toEqual(['Old?', 'Yes'])
  expect(storage.length).toBe(0)
})

test('a question whose files are too large for the storage keeps its words', async () => {
  storage.limit = 1000
  const before = openTab({ fetch: () => Promise.reject(new TypeError('offline')) })
  const chat = before.create()
  chat.send('What is on this picture?', [{ name: 'a.png', type: 'image/png', size: 1500, data: 'A'.repeat(2000) }])
  expect(chat.getSnapshot().problem).toMatchObject({ code: 'storage' })
  before.close()
  const again = openTab().open(chat.id)
  await until(again, ({ turns }) => turns.length === 2)
  expect(again.getSnapshot().turns).toMatchObject([{ text: 'What is on this picture?', files: [{ name: 'a.png' }] }, { status: 'failed', failure: { code: 'files' } }])
})

test('an attempt that hangs does not outlast the server’s return', async () => {
  let how: 'fails' | 'hangs' | 'works' = 'works'
  const net: typeof fetch = (input, init) => {
    if (how === 'works') return fetch(input, init)
    if (how === 'fails') return Promise.reject(new TypeError('away'))
    return new Promise((_, reject) => init!.signal!.addEventListener('abort', () => reject(init!.signal!.reason)))
  }
  const chat = openTab({ fetch: net }).create()
  chat.send('Hello?')
  await begun(chat)
  how = 'fails'
  server.cut()
  await until(chat, (now) => answerOf(now).reconnecting)
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  how = 'hangs'
  await vi.advanceTimersByTimeAsync(2000)
  how = 'works'
  logs[0]!.append(text('Hi'), FINISH)
  await vi.advanceTimersByTimeAsync(4000)
  vi.useRealTimers()
  expect(texts(await idle(chat))).toEqual(['Hello?', 'Hi'])
})

test('a new chat that was asked offline is in the list and shows its question after a reload, before the server is back', async () => {
  const offline: typeof fetch = () => Promise.reject(new TypeError('offline'))
  const before = openTab({ fetch: offline })
  const { id, send } = before.create()
  send('Are you there?')
  before.close()
  const tab = openTab({ fetch: offline })
  expect(tab.getSnapshot().items).toMatchObject([{ id, title: 'Are you there?' }])
  expect(texts(tab.open(id).getSnapshot())).toEqual(['Are you there?', ''])
})

test('a deleted chat takes its waiting questions along, and does not come back with them', async () => {
  server.keepTurns('travel-plans', 2)
  const tab = openTab()
  const chat = tab.open('travel-plans')
  await until(chat, ({ state }) => state === 'ready')
  chat.send('One?')
  await begun(chat)
  chat.send('Two?')
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  tab.remove('travel-plans')
  await vi.advanceTimersByTimeAsync(8000)
  vi.useRealTimers()
  await until(chat, ({ state }) => state === 'missing')
  expect(tab.getSnapshot()).toMatchObject({ items: [], removed: [] })
  expect([server.conversations.size, storage.length]).toEqual([0, 0])
})

test('a server that drains is asked again, with the waits of an outage', async () => {
  let refused = 0
  server.override = ({ method }, response) => method === 'POST' && refused++ < 2 && (problem(response, 503, 'draining', 'Later.', { retryable: true }), true)
  const chat = openTab().create()
  chat.send('Hello?')
  await until(chat, ({ connection }) => connection.retryAt !== null)
  await begun(chat)
  expect(chat.getSnapshot().connection.state).toBe('live')
  expect(asks()).toHaveLength(3)
})

test('a question that was refused stays as a branch, and the next one follows what the server has', async () => {
  server.keepTurns('travel-plans', 2)
  const chat = openTab().open('travel-plans')
  await until(chat, ({ state }) => state === 'ready')
  server.override = ({ method }, response) => method === 'POST' && (problem(response, 413, 'too_large', 'Too long.'), true)
  chat.send('A very long question?')
  await until(chat, ({ busy }) => !busy)
  server.override = () => false
  chat.send('Short?')
  await begun(chat)
  expect(asks().at(-1)).toMatchObject({ content: 'Short?', parent: 'turn-1' })
  expect(texts(chat.getSnapshot())).toEqual(['Question 0', 'Answer 1', 'Short?', ''])
  const branch = chat.getSnapshot().branches.get(chat.getSnapshot().turns[2]!.id)
  expect(branch).toMatchObject({ index: 1, count: 2 })
  chat.choose(branch!.previous!)
  expect(texts(chat.getSnapshot())).toEqual(['Question 0', 'Answer 1', 'A very long question?', ''])
})

test('a question that came second follows the first, also when this page had looked a moment before', async () => {
  server.keepTurns('travel-plans', 2)
  let release = () => undefined as void
  const held = new Promise<void>((resolve) => (release = resolve))
  let looks = 0
  const net: typeof fetch = async (input, init) => {
    const response = await fetch(input, init)
    // The second look is answered before the other question comes, and arrives after it.
    if (String(input).endsWith('travel-plans') && ++looks === 2) await held
    return response
  }
  const one = openTab({ fetch: net }).open('travel-plans')
  // Another device tells nothing.
  vi.stubGlobal('BroadcastChannel', undefined)
  const two = openTab().open('travel-plans')
  vi.unstubAllGlobals()
  await until(one, ({ state }) => state === 'ready')
  await until(two, ({ state }) => state === 'ready')
  one.wake()
  await vi.waitUntil(() => looks === 2)
  two.send('First?')
  await begun(two)
  one.send('Second?')
  await until(one, ({ queue }) => queue.length === 1)
  logs[0]!.append(text('One'), FINISH)
  await idle(two)
  release()
  await until(one, () => logs.length === 2)
  logs[1]!.append(text('Two'), FINISH)
  await until(one, (now) => now.turns.length === 6 && !now.busy)
  expect(texts(one.getSnapshot())).toEqual(['Question 0', 'Answer 1', 'First?', 'One', 'Second?', 'Two'])
})

test('a question follows what another device has asked and this page has not seen', async () => {
  server.keepTurns('travel-plans', 2)
  const one = openTab().open('travel-plans')
  vi.stubGlobal('BroadcastChannel', undefined)
  const two = openTab().open('travel-plans')
  vi.unstubAllGlobals()
  await until(one, ({ state }) => state === 'ready')
  await until(two, ({ state }) => state === 'ready')
  two.send('First?')
  await begun(two)
  logs[0]!.append(text('One'), FINISH)
  await idle(two)
  one.send('Second?')
  await until(one, () => logs.length === 2)
  logs[1]!.append(text('Two'), FINISH)
  await until(one, (now) => now.turns.length === 6 && !now.busy)
  expect(texts(one.getSnapshot())).toEqual(['Question 0', 'Answer 1', 'First?', 'One', 'Second?', 'Two'])
})

test('a question that comes too soon is asked again when the server wants it, and the server is not called away', async () => {
  let refused = 0
  server.override = ({ method }, response) => method === 'POST' && refused++ < 1 && (problem(response, 429, 'rate_limited', 'Too many.', { retryable: true, retry_after: 1 }), true)
  const chat = openTab().create()
  const asked = Date.now()
  chat.send('Hello?')
  const limited = await until(chat, (now) => answerOf(now).failure !== null)
  expect(limited).toMatchObject({ busy: true, connection: { state: 'live' } })
  expect(answerOf(limited)).toMatchObject({ status: 'streaming', reconnecting: false, failure: { code: 'rate_limited', retryAfter: 1 } })
  chat.wake()
  expect(answerOf(await begun(chat)).failure).toBeNull()
  expect(Date.now() - asked).toBeGreaterThan(900)
  expect(asks()).toHaveLength(2)
})

test('a question that is held in one tab is not sent by another one, which had begun to', async () => {
  let away = true
  const net: typeof fetch = (...request) => (away ? Promise.reject(new TypeError('away')) : fetch(...request))
  const [one, two] = [openTab({ fetch: net }), openTab({ fetch: net })]
  const chat = one.create()
  chat.send('Hello?')
  const other = two.open(chat.id)
  await until(chat, (now) => answerOf(now).reconnecting)
  await until(other, (now) => now.turns.length === 2 && answerOf(now).reconnecting)
  await other.stop()
  const held = await until(chat, ({ busy }) => !busy)
  expect(answerOf(held)).toMatchObject({ status: 'failed', failure: { code: 'unsent' } })
  away = false
  one.wake()
  await until(one, ({ connection }) => connection.state === 'live')
  expect(asks()).toEqual([])
})
