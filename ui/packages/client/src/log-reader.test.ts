import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { json, moment, problem, ScriptedLog, LogServer } from '../../../testing/log-server.js'
import { MAX_FAILURES } from './backoff.js'
import type { Entry, LogEvent } from './events.js'
import { EMPTY_MESSAGE, fold, type Message } from './fold-message.js'
import { readLog, type Outcome, type ReadOptions } from './log-reader.js'
import type { WakeSource } from './patience.js'
import { createTransport } from './transport.js'

const EVENTS: LogEvent[] = [
  { type: 'start', message_id: 'm', model: 'scripted' },
  { type: 'text-delta', text: 'Hé\n"llo" ' },
  { type: 'text-delta', text: '🌊 world' },
  { type: 'finish', reason: 'stop', usage: { input_tokens: 1, output_tokens: 3 } },
]
const WHOLE = EVENTS.reduce(fold, EMPTY_MESSAGE)
/** Cuts every wait short, so that no test sleeps. */
const noWait: WakeSource = (listener) => {
  const immediate = setImmediate(listener)
  return () => clearImmediate(immediate)
}
const never: WakeSource = () => () => undefined

let server: LogServer
beforeEach(async () => void (server = await new LogServer().start()))
afterEach(() => server.close())

async function read(location: string, more: Partial<ReadOptions> = {}): Promise<{ message: Message; ids: string[]; outcome: Outcome }> {
  let message = EMPTY_MESSAGE
  const ids: string[] = []
  const onEntries = (entries: readonly Entry[]) => {
    for (const { id, event } of entries) {
      message = fold(message, event)
      if (id) ids.push(id)
    }
  }
  const { signal } = new AbortController()
  const outcome = await readLog({ transport: createTransport(server.url), location, cursor: null, signal, onEntries, wakes: noWait, ...more })
  return { message, ids, outcome }
}

test('cut at every byte and resumed, a log reads as if it had never been cut', async () => {
  const log = new ScriptedLog('log', EVENTS)
  const location = server.keep(log)
  const bytes = ['retry: 2000\n', ...log.frames(undefined)].join('').length
  for (let cut = 0; cut < bytes; cut++) {
    let first = true
    server.override = (request, response) => {
      if (!first) return false
      first = false
      log.serve(response, request.headers['last-event-id'] as string | undefined, {}, cut)
      return true
    }
    const { message, ids, outcome } = await read(location)
    expect({ cut, message, ids, outcome }).toEqual({ cut, message: WHOLE, ids: ['1-1', '1-2', '1-3', '1-4'], outcome: { type: 'ended' } })
  }
})

/** A log whose first server stored less than it showed, and which a second one goes on with. */
class TakenOver extends ScriptedLog {
  readonly stored: number
  constructor(id: string, shown: readonly LogEvent[], stored: number, further: readonly LogEvent[]) {
    super(id, shown.slice(0, stored))
    this.stored = stored
    const rewind = `1-${stored}`
    const seam: LogEvent = { type: 'continued', cause: 'server', way: 'prompt', after: rewind, rewind }
    for (const [index, event] of [seam, ...further].entries()) this.entries.push({ id: `2-${stored + 1 + index}.run`, event })
  }

  override frames(after: string | undefined): string[] {
    const [epoch, sequence] = (after ?? '0-0').split('.')[0]!.split('-').map(Number) as [number, number]
    return super.frames(undefined).filter((_, index) => (index < this.stored ? epoch < 1 || (epoch === 1 && sequence < index + 1) : epoch < 2 || sequence < index + 1))
  }
}

test.each([1, 2, 3, 4, 5, 6])('a reader of a dead server who has %i events of which three were stored ends with the text of the log', async (seen) => {
  const words = ['A ', 'river ', 'old1 ', 'old2 ', 'old3 '].map((text): LogEvent => ({ type: 'text-delta', text }))
  const shown = [EVENTS[0]!, ...words]
  const log = new TakenOver('log', shown, 3, [{ type: 'text-delta', text: 'begins.' }, EVENTS[3]!])
  const texts: string[] = []
  let message = shown.slice(0, seen).reduce(fold, EMPTY_MESSAGE)
  // Each connection ends after some bytes: what was held must survive that.
  let budget = 150
  server.override = (request, response) => {
    log.serve(response, request.headers['last-event-id'] as string | undefined, {}, (budget += 60))
    return true
  }
  const onEntries = (entries: readonly Entry[]) => {
    message = entries.reduce((before, { event }) => fold(before, event), message)
    texts.push(message.text)
  }
  const { outcome } = await read(server.keep(log), { cursor: `1-${seen}.run`, onEntries })
  expect(outcome).toEqual({ type: 'ended' })
  expect(message).toMatchObject({ text: 'A river begins.', state: 'finished', continued: [{ rewind: '1-3', at: 8 }] })
  // What is shown shrinks to what was stored, in one step, and never to less.
  for (const text of texts) expect('A river begins.'.startsWith(text) && (seen < 3 || text.length >= 8)).toBe(true)
  expect(server.received.filter(({ headers }) => headers['last-event-id'] === undefined).length).toBe(seen > 3 ? 1 : 0)
})

test('a log that breaks after every single entry is still read to its end', async () => {
  const log = new ScriptedLog('log', [...EVENTS.slice(0, 2), ...Array.from({ length: 30 }, () => EVENTS[2]!), EVENTS[3]!])
  server.override = (request, response) => {
    const after = request.headers['last-event-id'] as string | undefined
    log.serve(response, after, {}, 'retry: 2000\n'.length + log.frames(after)[0]!.length)
    return true
  }
  const { message, ids } = await read(server.keep(log))
  expect(ids).toHaveLength(33)
  expect(message).toMatchObject({ text: EVENTS.slice(1, 2).map((e) => 'text' in e && e.text) + '🌊 world'.repeat(30), state: 'finished' })
})

test('a resume sends the last id, a first connection sends none', async () => {
  const log = new ScriptedLog('log', EVENTS)
  const location = server.keep(log)
  await read(location)
  const { ids } = await read(location, { cursor: '1-2' })
  expect(server.received.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, '1-2'])
  expect(ids).toEqual(['1-3', '1-4'])
})

test('a server that replays everything starts the answer anew, and doubles nothing', async () => {
  const log = new ScriptedLog('log', EVENTS)
  const bodies = [log.frames(undefined).slice(0, 3), log.frames(undefined)]
  server.override = (_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' }).end(bodies.shift()?.join(''))
    return true
  }
  expect((await read(server.keep(log))).message).toEqual(WHOLE)
  bodies.push(log.frames(undefined))
  expect((await read(server.keep(log), { cursor: '1-3' })).message).toEqual(WHOLE)
})

test('a heartbeat is progress: a proxy that cuts long silences never uses up the attempts', async () => {
  const log = new ScriptedLog('log', EVENTS)
  const bodies = [...Array.from({ length: MAX_FAILURES + 2 }, () => 'retry: 10\n\n:\n'), log.frames(undefined).join('')]
  server.override = (_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' }).end(bodies.shift())
    return true
  }
  expect(await read(server.keep(log))).toMatchObject({ message: WHOLE, outcome: { type: 'ended' } })
})

test('opening alone is none: a server that accepts and drops is given up', async () => {
  server.override = (_, response) => (response.writeHead(200, { 'Content-Type': 'text/event-stream' }).end('retry: 10\n\n'), true)
  expect((await read(`${server.url}api/streams/x`)).outcome).toEqual({ type: 'gave-up' })
  expect(server.received).toHaveLength(MAX_FAILURES + 1)
})

test('an unknown event is skipped and still moves the cursor', async () => {
  const frames = ['id: 1-1\ndata: {"type":"start","message_id":"m","model":"x"}\n\nid: 1-2\ndata: {"type":"hologram"}\n\n', 'id: 1-3\ndata: {"type":"stop","by":"u"}\n\n']
  server.override = (_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' }).end(frames.shift())
    return true
  }
  const { message, ids } = await read(`${server.url}api/streams/x`)
  expect(message.state).toBe('stopped')
  expect(ids).toEqual(['1-1', '1-2', '1-3'])
  expect(server.received[1]?.headers['last-event-id']).toBe('1-2')
})

test('an answer that a newer version ended in an unknown way has failed', async () => {
  const failure = { type: 'error', code: 'newer_version', message: 'Ask again.', retryable: false }
  const frames = `id: 1-1\ndata: {"type":"text-delta","text":"a"}\n\nid: 1-2\ndata: {"type":"pause"}\n\ndata: ${JSON.stringify(failure)}\n\n`
  server.override = (_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' }).end(frames)
    return true
  }
  const { message, ids, outcome } = await read(`${server.url}api/streams/x`)
  expect(outcome).toEqual({ type: 'ended' })
  expect(message).toMatchObject({ text: 'a', state: 'failed', ending: failure })
  expect(ids).toEqual(['1-1', '1-2'])
})

test('a retryable error without an id is no ending: the server could not read on, and the log goes on', async () => {
  const busy = 'data: {"type":"error","code":"store","message":"The disk is busy.","retryable":true}\n\n'
  const log = new ScriptedLog('log', EVENTS)
  const bodies = [log.frames(undefined).slice(0, 2).join('') + busy, busy, log.frames('1-2').join('')]
  server.override = (_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' }).end(bodies.shift())
    return true
  }
  expect(await read(server.keep(log))).toEqual({ message: WHOLE, ids: ['1-1', '1-2', '1-3', '1-4'], outcome: { type: 'ended' } })
  expect(server.received.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, '1-2', '1-2'])
})

test('204 settles from the summary', async () => {
  const log = new ScriptedLog('log', EVENTS)
  const { outcome } = await read(server.keep(log), { cursor: '1-4' })
  expect(outcome).toMatchObject({ type: 'settled', log: { state: 'finished', text: WHOLE.text, offset: '1-4' } })
})

test.each([404, 410])('%i means that the log is gone', async (status) => {
  server.override = (_, response) => (problem(response, status, 'expired', 'It was forgotten.'), true)
  expect((await read(`${server.url}api/streams/x`)).outcome).toMatchObject({ type: 'gone', problem: { status, message: 'It was forgotten.' } })
})

test('a refusal is final, an overload is not', async () => {
  server.override = (_, response) => (problem(response, 401, 'unauthorized', 'Who are you?'), true)
  expect((await read(`${server.url}api/streams/x`)).outcome).toMatchObject({ type: 'refused', problem: { code: 'unauthorized' } })
  let busy = true
  server.override = (_, response) => busy && (problem(response, 503, 'busy', 'Later.'), (busy = false), true)
  expect((await read(server.keep(new ScriptedLog('log', EVENTS)))).outcome).toEqual({ type: 'ended' })
})

test('a page that is no event stream, or a broken frame, is a broken connection; a reader gives up in the end', async () => {
  server.override = (_, response) => (json(response, 200, { hello: 'portal' }), true)
  expect((await read(`${server.url}api/streams/x`)).outcome).toEqual({ type: 'gave-up' })
  expect(server.received).toHaveLength(MAX_FAILURES + 1)
  server.override = (_, response) => (response.writeHead(200, { 'Content-Type': 'text/event-stream' }).end('id: 1-1\ndata: {"ty\n\n'), true)
  expect((await read(`${server.url}api/streams/x`)).outcome).toEqual({ type: 'gave-up' })
})

/** Reads under fake timers, with a wake the test can give. */
function readInFakeTime(location: string) {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
  onTestFinished(() => void vi.useRealTimers())
  const textCame = moment()
  const reconnecting = moment()
  const listeners = new Set<() => void>()
  const state = { message: EMPTY_MESSAGE }
  const outcome = readLog({
    transport: createTransport(server.url),
    location,
    cursor: null,
    signal: new AbortController().signal,
    wakes: (listener) => (listeners.add(listener), () => listeners.delete(listener)),
    onEntries: (entries) => {
      state.message = entries.reduce((current, { event }) => fold(current, event), state.message)
      if (state.message.text !== '') textCame.happen()
    },
    onConnection: (connection) => connection === 'reconnecting' && reconnecting.happen(),
  })
  const wake = () => [...listeners].forEach((listener) => listener())
  return { textCame, reconnecting, state, outcome, wake }
}

test('twenty-five silent seconds mean a dead connection, which is opened again', async () => {
  const log = new ScriptedLog('log', EVENTS.slice(0, 2))
  const { textCame, reconnecting, state, outcome } = readInFakeTime(server.keep(log))
  await textCame.came
  await vi.advanceTimersByTimeAsync(24_000)
  expect(server.received).toHaveLength(1)
  await vi.advanceTimersByTimeAsync(1_000)
  await reconnecting.came
  log.append(...EVENTS.slice(2))
  await vi.advanceTimersByTimeAsync(2_000)
  expect(await outcome).toEqual({ type: 'ended' })
  expect(state.message).toEqual(WHOLE)
  expect(server.received).toHaveLength(2)
})

test('a wake after a missed heartbeat opens the connection anew at once; an earlier one changes nothing', async () => {
  const log = new ScriptedLog('log', EVENTS.slice(0, 2))
  const { textCame, state, outcome, wake } = readInFakeTime(server.keep(log))
  await textCame.came
  await vi.advanceTimersByTimeAsync(11_000)
  wake()
  expect(server.received).toHaveLength(1)
  await vi.advanceTimersByTimeAsync(2_000)
  const requested = moment()
  server.override = () => (log.append(...EVENTS.slice(2)), requested.happen(), false)
  wake()
  await requested.came
  expect(await outcome).toEqual({ type: 'ended' })
  expect(state.message).toEqual(WHOLE)
  expect(server.received).toHaveLength(2)
})

test('closing a reader ends it at once, also while it waits', async () => {
  const abort = new AbortController()
  server.override = (_, response) => (problem(response, 503, 'busy', 'Later.'), true)
  const onConnection = () => abort.abort()
  expect((await read(`${server.url}api/streams/x`, { signal: abort.signal, wakes: never, onConnection })).outcome).toEqual({ type: 'closed' })
})
