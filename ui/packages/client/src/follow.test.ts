import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { ConversationServer } from '../../../testing/conversation-server.js'
import { moment, problem, ScriptedLog } from '../../../testing/log-server.js'
import type { LogEvent } from './events.js'
import { advance, EMPTY_MESSAGE, type Progress } from './fold-message.js'
import type { Port } from './follow-types.js'
import { createFollower } from './follow-worker.js'
import { readLog, type Outcome } from './log-reader.js'
import { sharedTransport } from './shared-transport.js'
import { createTransport } from './transport.js'

const START: LogEvent = { type: 'start', message_id: 'm', model: 'scripted' }
const FINISH: LogEvent = { type: 'finish', reason: 'stop' }
const text = (words: string): LogEvent => ({ type: 'text-delta', text: words })

let server: ConversationServer
let follow: (port: Port) => void
let readers: AbortController[]
let cut: AbortController
beforeEach(async () => {
  server = await new ConversationServer().start()
  readers = []
  cut = new AbortController()
  follow = createFollower((input, init) => fetch(input, { ...init, signal: AbortSignal.any([init!.signal!, cut.signal]) }))
})
afterEach(async () => {
  for (const reader of readers) reader.abort()
  vi.useRealTimers()
  await server.close()
})

/** A tab with its transport, as a page makes it. */
function openTab(connect = () => channel()) {
  const transport = sharedTransport(createTransport(server.url), server.url, connect)
  return (location: string, cursor: string | null = null) => read(transport, location, cursor)
}

function channel(): Port {
  const { port1, port2 } = new MessageChannel()
  follow(port2 as unknown as Port)
  return port1 as unknown as Port
}

function read(transport: ReturnType<typeof createTransport>, location: string, from: string | null) {
  const control = new AbortController()
  readers.push(control)
  const live = moment()
  let progress: Progress = { message: EMPTY_MESSAGE, cursor: from }
  const waiting = new Set<() => void>()
  const outcome: Promise<Outcome> = readLog({
    transport,
    location,
    cursor: from,
    signal: control.signal,
    wait: () => 5,
    onConnection: (connection) => connection === 'live' && live.happen(),
    onEntries(entries) {
      progress = advance(progress, entries)
      for (const look of waiting) look()
    },
  })
  return {
    outcome,
    live: live.came,
    leave: () => control.abort(),
    text: () => progress.message.text,
    until: (words: string) =>
      new Promise<void>((resolve) => {
        const look = () => progress.message.text === words && resolve()
        waiting.add(look)
        look()
      }),
  }
}

const connections = () => server.requests('GET', /^\/api\/streams\?read/)

test('eight tabs with live answers use one connection', async () => {
  const logs = Array.from({ length: 8 }, (_, index) => new ScriptedLog(`log-${index}`, [START]))
  const readings = logs.map((log) => openTab()(server.keep(log)))
  await Promise.all(readings.map(({ live }) => live))
  expect(connections()).toHaveLength(1)
  for (const log of logs) log.append(text(`from ${log.id}`), FINISH)
  expect(await Promise.all(readings.map(({ outcome }) => outcome))).toEqual(logs.map(() => ({ type: 'ended' })))
  expect(readings.map((reading) => reading.text())).toEqual(logs.map(({ id }) => `from ${id}`))
  expect(server.requests('GET', /^\/api\/streams\/log/)).toEqual([])
})

test('a log that is read from different places reaches each tab once', async () => {
  const log = new ScriptedLog('log', [START, text('one ')])
  const first = openTab()(server.keep(log))
  await first.until('one ')
  const second = openTab()(server.keep(log))
  await second.until('one ')
  const third = openTab()(server.keep(log), '1-1')
  await third.until('one ')
  log.append(text('two'), FINISH)
  await Promise.all([first.outcome, second.outcome, third.outcome])
  expect([first, second, third].map((reading) => reading.text())).toEqual(['one two', 'one two', 'one two'])
})

test('a connection that breaks is opened again for all, and no word is lost or doubled', async () => {
  const logs = ['log-a', 'log-b'].map((id) => new ScriptedLog(id, [START, text('one ')]))
  const readings = logs.map((log) => openTab()(server.keep(log)))
  await Promise.all(readings.map((reading) => reading.until('one ')))
  const broken = cut
  cut = new AbortController()
  broken.abort()
  for (const log of logs) log.append(text('two'), FINISH)
  await Promise.all(readings.map(({ outcome }) => outcome))
  expect(readings.map((reading) => reading.text())).toEqual(['one two', 'one two'])
})

test('what cannot be read says so, and what has ended is settled', async () => {
  const done = new ScriptedLog('done', [START, text('All'), FINISH])
  const tab = openTab()
  expect(await tab(server.url + 'api/streams/nowhere').outcome).toMatchObject({ type: 'gone', problem: { status: 404 } })
  expect(await tab(server.keep(done), '1-3').outcome).toMatchObject({ type: 'settled', log: { text: 'All' } })
  expect(await tab(server.keep(done)).outcome).toEqual({ type: 'ended' })
})

test('a tab that leaves takes nothing from the others, and the last one closes the connection', async () => {
  const log = new ScriptedLog('log', [START, text('one ')])
  const [first, second] = [openTab()(server.keep(log)), openTab()(server.keep(log))]
  await Promise.all([first.until('one '), second.until('one ')])
  first.leave()
  log.append(text('two'))
  await second.until('one two')
  second.leave()
  await vi.waitUntil(() => log.readers === 0)
})

test('without a worker a log is read directly', async () => {
  const log = new ScriptedLog('log', [START, text('Hi'), FINISH])
  const none = openTab(() => {
    throw new Error('There are no workers here.')
  })(server.keep(log))
  expect(await none.outcome).toEqual({ type: 'ended' })
  expect(connections()).toEqual([])
})

test('a worker that has died is noticed, and its logs are read directly', async () => {
  const log = new ScriptedLog('log', [START, text('Hi'), FINISH])
  const tab = openTab(() => new MessageChannel().port1 as unknown as Port)
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const reading = tab(server.keep(log))
  await vi.advanceTimersByTimeAsync(2000)
  vi.useRealTimers()
  expect(await reading.outcome).toEqual({ type: 'ended' })
  expect(connections()).toEqual([])
})

test('the shared conversation’s stream and the logs of other servers are not the worker’s', async () => {
  const shared = openTab()(`${server.url}api/shared/token/stream`)
  await shared.outcome
  expect(connections()).toEqual([])
})

test('where the server does not follow several logs at once, each is read directly', async () => {
  server.override = ({ path }, response) => path.startsWith('/api/streams?') && (problem(response, 401, 'unauthenticated', 'Log in.'), true)
  const log = new ScriptedLog('log', [START, text('Hi'), FINISH])
  expect(await openTab()(server.keep(log)).outcome).toEqual({ type: 'ended' })
  expect(server.requests('GET', /streams\/log$/)).toHaveLength(1)
})

test('a tab that joins while words flow gets them from the beginning', async () => {
  const log = new ScriptedLog('log', [START, text('0 ')])
  const first = openTab()(server.keep(log))
  await first.until('0 ')
  const second = openTab()(server.keep(log))
  for (let word = 1; word < 40; word++) {
    log.append(text(`${word} `))
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  log.append(FINISH)
  await Promise.all([first.outcome, second.outcome])
  const all = Array.from({ length: 40 }, (_, word) => `${word} `).join('')
  expect([first.text(), second.text()]).toEqual([all, all])
})
