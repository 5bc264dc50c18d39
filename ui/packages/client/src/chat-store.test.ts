import { afterEach, beforeEach, expect, test } from 'vitest'
import { moment, problem, ScriptedLog, LogServer, json } from '../../../testing/log-server.js'
import type { Answer, ChatStorage, SavedChat } from './chat.js'
import { ChatStore, type ChatOptions, type ChatSnapshot } from './chat-store.js'
import type { LogEvent } from './events.js'
import { createTransport } from './transport.js'

const START: LogEvent = { type: 'start', message_id: 'm', model: 'scripted' }
const FINISH: LogEvent = { type: 'finish', reason: 'stop', usage: { output_tokens: 2 } }
const text = (words: string): LogEvent => ({ type: 'text-delta', text: words })

/** Keeps a chat as JSON, like a browser would. */
class MemoryStorage implements ChatStorage {
  kept: string | null = null
  load = () => JSON.parse(this.kept ?? 'null') as SavedChat | null
  save = (chat: SavedChat) => void (this.kept = JSON.stringify(chat))
}

let server: LogServer
let storage: MemoryStorage
let log: ScriptedLog
beforeEach(async () => {
  server = await new LogServer().start()
  storage = new MemoryStorage()
  log = new ScriptedLog('log', [START])
  server.answer = () => log
})
afterEach(() => server.close())

const noWait = (listener: () => void) => {
  const immediate = setImmediate(listener)
  return () => clearImmediate(immediate)
}
const open = (more: Partial<ChatOptions> = {}) =>
  new ChatStore({ transport: createTransport(server.url), storage, wakes: noWait, pace: () => 0, ...more })
const answerOf = ({ turns }: ChatSnapshot) => turns.at(-1) as Answer

function until(store: ChatStore, condition: (answer: Answer, chat: ChatSnapshot) => boolean): Promise<Answer> {
  return new Promise((resolve) => {
    const look = () => {
      const chat = store.getSnapshot()
      if (!condition(answerOf(chat), chat)) return false
      resolve(answerOf(chat))
      return true
    }
    if (look()) return
    const leave = store.subscribe(() => look() && leave())
  })
}
const ended = (store: ChatStore) => until(store, ({ status }) => status !== 'streaming')

test('a question streams its answer', async () => {
  const store = open()
  expect(store.send('  ')).toBe(false)
  expect(store.send('Hello?')).toBe(true)
  expect(store.send('Again?')).toBe(false)
  await until(store, ({ location }) => location !== null)
  log.append(text('Hi '), text('there'), FINISH)
  const answer = await ended(store)
  expect(answer).toMatchObject({ status: 'finished', cache: null, failure: null })
  expect(answer.message).toMatchObject({ text: 'Hi there', usage: { output_tokens: 2 } })
  expect(JSON.parse(server.received[0]!.body)).toEqual({ messages: [{ role: 'user', content: 'Hello?' }] })
  // Browsers send this header by themselves when a fetch says no-store, and it would empty the cache of its use.
  expect(server.received[0]!.headers['cache-control']).not.toBe('no-cache')
})

test('a page may add what it fetches about an answer that has ended', async () => {
  const seen: Answer[] = []
  const store = open({ onEnded: (answer) => Promise.resolve({ timing: { first_token: seen.push(answer), duration: 2 } }) })
  log.append(text('Hi'), FINISH)
  store.send('Hello?')
  expect(await until(store, ({ timing }) => timing !== undefined)).toMatchObject({ timing: { first_token: 1, duration: 2 } })
  expect(seen).toMatchObject([{ status: 'finished', message: { text: 'Hi' } }])
})

test('the next question includes all earlier turns, partial answers too', async () => {
  const store = open()
  log.append(text('Hi'), { type: 'stop', by: 'x' })
  store.send('One')
  await ended(store)
  log = new ScriptedLog('log-2', [START, { type: 'error', code: 'provider', message: 'down' }])
  store.send('Two')
  await ended(store)
  log = new ScriptedLog('log-3', [START, text('Yes'), FINISH])
  store.send('Three')
  await ended(store)
  expect(JSON.parse(server.received.filter(({ method }) => method === 'POST').at(-1)!.body)).toEqual({
    messages: [
      { role: 'user', content: 'One' },
      { role: 'assistant', content: 'Hi' },
      { role: 'user', content: 'Two' },
      { role: 'user', content: 'Three' },
    ],
  })
})

test('a cached answer says so; regenerating goes past the cache', async () => {
  server.headers = { 'Cache-Status': 'headwater; hit; ttl=3500', Age: '180' }
  log.append(text('Old'), FINISH)
  const store = open()
  store.send('Q')
  const cached = await ended(store)
  expect(cached.cache).toBe('hit')
  server.headers = { 'Cache-Status': 'headwater; fwd=request' }
  log = new ScriptedLog('log-2', [START, text('New'), FINISH])
  store.regenerate()
  const fresh = await ended(store)
  expect(fresh).toMatchObject({ cache: null, message: { text: 'New' } })
  expect(store.getSnapshot().turns).toHaveLength(2)
  const posts = server.received.filter(({ method }) => method === 'POST')
  expect(posts[1]!.headers['cache-control']).toBe('no-cache')
  expect(posts[1]!.headers['idempotency-key']).toBeUndefined()
})

test('a refusal before the first token is shown in the server’s words and can be retried', async () => {
  let busy = true
  server.override = ({ method }, response) =>
    method === 'POST' && busy && (problem(response, 429, 'rate_limit', 'Slow down.', { retryable: true, retry_after: 7 }), true)
  const store = open()
  store.send('Q')
  const refused = await ended(store)
  expect(refused).toMatchObject({ status: 'failed', failure: { code: 'rate_limit', message: 'Slow down.', retryAfter: 7 } })
  busy = false
  log.append(text('Fine'), FINISH)
  store.retry()
  expect(await ended(store)).toMatchObject({ status: 'finished', message: { text: 'Fine' } })
  expect(store.getSnapshot().turns).toHaveLength(2)
})

test('an error in mid-answer keeps the partial answer', async () => {
  log.append(text('Half an'), { type: 'error', code: 'lost', message: 'The producer died.', retryable: true })
  const store = open()
  store.send('Q')
  expect(await ended(store)).toMatchObject({
    status: 'failed',
    message: { text: 'Half an', state: 'lost' },
    failure: { code: 'lost', message: 'The producer died.' },
  })
})

test('a server that cannot be reached is an error, not silence', async () => {
  const store = open()
  await server.close()
  store.send('Q')
  expect(await ended(store)).toMatchObject({ status: 'interrupted', failure: { code: 'unreachable' } })
  await server.start()
})

test('stop ends the log on the server and keeps what has come', async () => {
  const store = open()
  store.send('Q')
  await until(store, ({ location }) => location !== null)
  log.append(text('So far'))
  await until(store, ({ message }) => message.text !== '')
  await store.stop()
  expect(log.ended).toBe(true)
  expect(answerOf(store.getSnapshot())).toMatchObject({ status: 'stopped', stopping: false, message: { text: 'So far', state: 'stopped' } })
})

test('a stop before the log has an address is done as soon as it has one', async () => {
  const requested = moment()
  const release = moment()
  server.override = ({ method, path }, response) => {
    if (method !== 'POST' || path.endsWith('/stop')) return false
    requested.happen()
    void release.came.then(() => (server.keep(log), log.serve(response, undefined)))
    return true
  }
  const store = open()
  store.send('Q')
  await requested.came
  await store.stop()
  expect(answerOf(store.getSnapshot())).toMatchObject({ status: 'streaming', stopping: true })
  release.happen()
  expect((await ended(store)).status).toBe('stopped')
  expect(log.ended).toBe(true)
})

test('a server that cannot be told to stop is no stop: a retry reads on', async () => {
  const store = open()
  store.send('Q')
  await until(store, ({ location }) => location !== null)
  server.override = ({ path }, response) => path.endsWith('/stop') && (problem(response, 503, 'busy', 'Later.'), true)
  await store.stop()
  expect(answerOf(store.getSnapshot())).toMatchObject({ status: 'interrupted', stopping: false, failure: { code: 'unreachable' } })
  log.append(text('Whole'), FINISH)
  store.retry()
  expect(await ended(store)).toMatchObject({ status: 'finished', message: { text: 'Whole' } })
})

test('a stop that only detaches leaves the log to the others', async () => {
  server.override = ({ path }, response) => path.endsWith('/stop') && (json(response, 202, log.describe()), true)
  const store = open()
  store.send('Q')
  await until(store, ({ location }) => location !== null)
  await store.stop()
  expect(answerOf(store.getSnapshot())).toMatchObject({ status: 'stopped' })
  expect(log.ended).toBe(false)
})

test('a reload in mid-answer goes on at the exact entry', async () => {
  const before = open()
  before.send('Q')
  await until(before, ({ location }) => location !== null)
  log.append(text('One '), text('two '))
  await until(before, ({ message }) => message.text === 'One two ')
  before.save()
  const after = open()
  expect(answerOf(after.getSnapshot())).toMatchObject({ status: 'streaming', cursor: '1-3', message: { id: 'm', text: 'One two ' } })
  log.append(text('three'), FINISH)
  expect(await ended(after)).toMatchObject({ status: 'finished', message: { id: 'm', text: 'One two three' } })
  expect(server.received.find(({ method, headers }) => method === 'GET' && headers['last-event-id'])!.headers['last-event-id']).toBe('1-3')
})

test('a reload after the log ended settles from its summary', async () => {
  const before = open()
  before.send('Q')
  await until(before, ({ location }) => location !== null)
  log.append(text('All'))
  await until(before, ({ message }) => message.text === 'All')
  before.save()
  const kept = storage.kept
  log.append(FINISH)
  await ended(before)
  // The browser stored the last entry but died before it stored the ending.
  storage.kept = kept!.replace('"cursor":"1-2"', '"cursor":"1-3"')
  expect(await ended(open())).toMatchObject({ status: 'finished', message: { text: 'All' } })
})

test('a reload before the first byte keeps the question and can repeat the very request', async () => {
  const requested = moment()
  server.override = ({ path }) => (path.endsWith('/chat') ? (requested.happen(), true) : false)
  open().send('Q')
  await requested.came
  const after = open()
  expect(after.getSnapshot().turns).toMatchObject([{ text: 'Q' }, { status: 'interrupted', failure: { code: 'unsent' } }])
  server.override = () => false
  log.append(text('A'), FINISH)
  after.retry()
  expect((await ended(after)).message.text).toBe('A')
  const [first, second] = server.received.filter(({ method }) => method === 'POST')
  expect(second!.headers['idempotency-key']).toBe(first!.headers['idempotency-key'])
})

test('a log that is gone leaves the partial answer, an error and a retry', async () => {
  const before = open()
  before.send('Q')
  await until(before, ({ location }) => location !== null)
  log.append(text('Part'))
  await until(before, ({ message }) => message.text === 'Part')
  before.save()
  server.logs.clear()
  const after = open()
  expect(await ended(after)).toMatchObject({ status: 'failed', message: { text: 'Part' }, failure: { code: 'gone' } })
  log = new ScriptedLog('log-2', [START, text('Whole'), FINISH])
  after.retry()
  expect(await ended(after)).toMatchObject({ status: 'finished', message: { text: 'Whole' } })
})

test('giving up keeps the place, and a retry reads on from it', async () => {
  const store = open()
  store.send('Q')
  await until(store, ({ location }) => location !== null)
  log.append(text('One '))
  await until(store, ({ message }) => message.text === 'One ')
  await server.close()
  expect(await ended(store)).toMatchObject({ status: 'interrupted', message: { text: 'One ' }, failure: { code: 'unreachable' } })
  const port = Number(new URL(server.url).port)
  await server.start(port)
  log.append(text('two'), FINISH)
  store.retry()
  expect(await ended(store)).toMatchObject({ status: 'finished', message: { text: 'One two' } })
  expect(server.received.filter(({ method }) => method === 'POST')).toHaveLength(1)
})

test('a new chat forgets the old one and stops its answer', async () => {
  const store = open()
  store.send('Q')
  await until(store, ({ location }) => location !== null)
  store.clear()
  expect(store.getSnapshot()).toMatchObject({ turns: [], busy: false })
  expect(storage.load()?.turns).toEqual([])
})

test('a second tab reads the same answer on, and follows a new chat', async () => {
  const one = open()
  one.send('Q')
  await until(one, ({ location }) => location !== null)
  const two = open()
  log.append(text('Both'), FINISH)
  expect((await ended(one)).message).toEqual((await ended(two)).message)
  one.clear()
  two.reload()
  expect(two.getSnapshot().turns).toEqual([])
})
