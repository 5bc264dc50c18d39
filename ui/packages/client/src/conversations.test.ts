import { afterEach, beforeEach, expect, test } from 'vitest'
import { ConversationServer } from '../../../testing/conversation-server.js'
import { problem, ScriptedLog } from '../../../testing/log-server.js'
import { MemoryStorage } from '../../../testing/memory-storage.js'
import { createConversations, type ConversationsOptions, type OpenConversations } from './conversations.js'
import type { Conversation, ConversationAnswer, ConversationSnapshot } from './conversations-types.js'
import type { LogEvent } from './events.js'

const START: LogEvent = { type: 'start', message_id: 'm', model: 'scripted' }
const FINISH: LogEvent = { type: 'finish', reason: 'stop', usage: { output_tokens: 2 } }
const text = (words: string): LogEvent => ({ type: 'text-delta', text: words })

let server: ConversationServer
let storage: MemoryStorage
let logs: ScriptedLog[]
let tabs: OpenConversations[]
beforeEach(async () => {
  server = await new ConversationServer().start()
  storage = new MemoryStorage()
  logs = []
  tabs = []
  server.answer = () => {
    const log = new ScriptedLog(`log-${logs.length + 1}`, [START])
    logs.push(log)
    return log
  }
})
afterEach(async () => {
  for (const tab of tabs) tab.close()
  await server.close()
})

function openTab(more: ConversationsOptions = {}): OpenConversations {
  const tab = createConversations({ base: server.url, storage: () => storage, wakes: () => () => undefined, pace: () => 0, interval: 60_000, ...more })
  tabs.push(tab)
  return tab
}

function until<S>({ subscribe, getSnapshot }: { subscribe: (listener: () => void) => () => void; getSnapshot: () => S }, condition: (snapshot: S) => boolean): Promise<S> {
  return new Promise((resolve) => {
    const look = () => condition(getSnapshot()) && (leave(), resolve(getSnapshot()), true)
    const leave = subscribe(() => void look())
    look()
  })
}
const answerOf = ({ turns }: ConversationSnapshot) => turns.at(-1) as ConversationAnswer
const begun = (chat: Conversation) => until(chat, (now) => now.busy && answerOf(now).location !== null)
const idle = (chat: Conversation) => until(chat, ({ state, busy, turns }) => state === 'ready' && !busy && turns.length > 0)
const texts = ({ turns }: ConversationSnapshot) => turns.map((turn) => (turn.role === 'user' ? turn.text : turn.message.text))
const asks = () => server.requests('POST', /\/messages$/).map(({ body }) => JSON.parse(body) as Record<string, unknown>)

test('a question streams its answer, and the conversation comes into the list', async () => {
  const tab = openTab()
  const chat = tab.create()
  expect(chat.getSnapshot()).toMatchObject({ state: 'new', turns: [], busy: false })
  expect(chat.send('  ')).toBe(false)
  expect(chat.send('Hello?')).toBe(true)
  // Nothing waits for the network before it shows.
  expect(chat.getSnapshot()).toMatchObject({ title: 'Hello?', busy: true, turns: [{ text: 'Hello?' }, { status: 'streaming' }] })
  expect(tab.getSnapshot().items).toMatchObject([{ id: chat.id, title: 'Hello?', live: true }])
  await begun(chat)
  logs[0]!.append(text('Hi '), text('there'), FINISH)
  const now = await idle(chat)
  expect(answerOf(now)).toMatchObject({ status: 'finished', failure: null, message: { text: 'Hi there', usage: { output_tokens: 2 } } })
  expect(asks()).toMatchObject([{ parent: null, content: 'Hello?', kind: 'ask' }])
  expect(storage.length).toBe(0)
})

test('a conversation opens with the server’s turns, and its open answer is read on', async () => {
  server.keepTurns('travel-plans', 4)
  const first = openTab().open('travel-plans')
  await until(first, ({ state }) => state === 'ready')
  first.send('And then?')
  await begun(first)
  logs[0]!.append(text('Half'))
  const second = openTab().open('travel-plans')
  await until(second, (now) => now.turns.length === 6 && answerOf(now).message.text === 'Half')
  logs[0]!.append(text(' done'), FINISH)
  expect(texts(await idle(second))).toEqual(['Question 0', 'Answer 1', 'Question 2', 'Answer 3', 'And then?', 'Half done'])
  // What is settled comes from the conversation, and not from its log.
  expect(server.requests('GET', /streams\/turn/)).toEqual([])
})

test('the same conversation is the same object; one that the server does not have is missing', async () => {
  const tab = openTab()
  const chat = tab.open('nowhere-to-be-found')
  expect(tab.open('nowhere-to-be-found')).toBe(chat)
  await until(chat, ({ state }) => state === 'missing')
})

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

test('a question that is asked while an answer runs waits in the queue, and can be taken back', async () => {
  const chat = openTab().create()
  chat.send('One?')
  await begun(chat)
  chat.send('Two?')
  chat.send('Three?')
  const { queue } = chat.getSnapshot()
  expect(queue.map(({ text }) => text)).toEqual(['Two?', 'Three?'])
  expect(chat.unqueue(queue[0]!.id)).toMatchObject({ text: 'Two?' })
  logs[0]!.append(text('1'), FINISH)
  await until(chat, () => logs.length === 2)
  await begun(chat)
  expect(chat.getSnapshot().queue).toEqual([])
  logs[1]!.append(text('3'), FINISH)
  expect(texts(await idle(chat))).toEqual(['One?', '1', 'Three?', '3'])
})

test('an interruption stops the running answer and goes ahead of the queue', async () => {
  const chat = openTab().create()
  chat.send('One?')
  await begun(chat)
  logs[0]!.append(text('Well'))
  chat.send('Later?')
  chat.interrupt('No, this!')
  await until(chat, () => logs.length === 2)
  await begun(chat)
  expect(texts(chat.getSnapshot())).toEqual(['One?', 'Well', 'No, this!', ''])
  expect(chat.getSnapshot()).toMatchObject({ queue: [{ text: 'Later?' }], turns: [{}, { status: 'stopped' }, {}, {}] })
})

test('stopping before the question has arrived stops the answer when it begins', async () => {
  const chat = openTab().create()
  chat.send('Hello?')
  await chat.stop()
  expect(answerOf(await idle(chat))).toMatchObject({ status: 'stopped' })
})

test('stopping a question that cannot be sent holds it back', async () => {
  const chat = openTab({ fetch: () => Promise.reject(new TypeError('offline')) }).create()
  chat.send('Hello?')
  await until(chat, (now) => answerOf(now).reconnecting)
  await chat.stop()
  expect(chat.getSnapshot()).toMatchObject({ busy: false, turns: [{}, { status: 'failed', failure: { code: 'unsent' } }] })
  expect(storage.length).toBe(1)
})

test('regenerating and editing make branches, and nothing is lost', async () => {
  server.keepTurns('travel-plans', 2)
  const chat = openTab().open('travel-plans')
  await until(chat, ({ state }) => state === 'ready')
  chat.regenerate('turn-1')
  await begun(chat)
  logs[0]!.append(text('Other'), FINISH)
  const regenerated = await idle(chat)
  expect(asks()[0]).toEqual({ answer: expect.any(String), parent: 'turn-0' })
  expect(texts(regenerated)).toEqual(['Question 0', 'Other'])
  expect(regenerated.branches.get(answerOf(regenerated).id)).toEqual({ index: 1, count: 2, previous: 'turn-1', next: null })
  chat.choose('turn-1')
  expect(texts(chat.getSnapshot())).toEqual(['Question 0', 'Answer 1'])
  expect(chat.edit('turn-0', 'Question zero')).toBe(true)
  await begun(chat)
  logs[1]!.append(text('Zero'), FINISH)
  const edited = await idle(chat)
  expect(texts(edited)).toEqual(['Question zero', 'Zero'])
  chat.choose(edited.branches.get(edited.turns[0]!.id)!.previous!)
  expect(texts(chat.getSnapshot())).toEqual(['Question 0', 'Answer 1'])
  await until(chat, () => server.conversations.get('travel-plans')!.leaf === 'turn-1')
})

test('a token costs one turn, however many there are', async () => {
  server.keepTurns('long-talk', 1000)
  const chat = openTab().open('long-talk')
  await until(chat, ({ state }) => state === 'ready')
  chat.send('More?')
  const before = await begun(chat)
  logs[0]!.append(text('Yes'))
  const after = await until(chat, (now) => answerOf(now).message.text === 'Yes')
  expect(after.turns.filter((turn, index) => turn !== before.turns[index])).toHaveLength(1)
  expect(after.branches).toBe(before.branches)
  // Looking again at what has not changed changes nothing.
  chat.wake()
  expect((await until(chat, () => server.requests('GET', /long-talk/).length > 1)).turns.slice(0, -1)).toEqual(before.turns.slice(0, -1))
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
  // The page went before the server confirmed it; the next one goes on.
  const next = openTab()
  expect(next.getSnapshot().removed).toMatchObject([{ id: 'travel-plans' }])
  await until(next, ({ state }) => state === 'ready')
  expect(next.getSnapshot().items).toMatchObject([{ id: 'other-chat' }])
})
