import type { News, Port, Refused, Wish } from './follow-types.js'
import { createFrameParser, type Frame } from './frames.js'
import { createPatience } from './patience.js'

/** One tab's reading of a log. Until it is `level`, what comes is what the tab has already. */
interface Reading {
  readonly port: Port
  readonly key: number
  cursor: string | null
  level: boolean
  /** Frames that are told with the next tick. */
  held: string
}

interface Connection {
  readonly control: AbortController
  /** The logs it was opened for. */
  readonly logs: ReadonlySet<string>
  opened: boolean
  /** When the last byte came, in ms since 1970. */
  heard: number
}

// The server follows so many logs over one connection.
const MOST = 32
// Tabs that open together are served together.
const GATHER = 10
// Longer than a browser may hold back the timers of a hidden tab.
const SILENT_TAB = 150_000
const LOOK = 30_000
const BEAT = 5000
// Each message costs a tab a task, so the frames of a busy log come together, two of a screen's frames at a time.
const TICK = 33
// After a sleep, a laptop may hold a dead socket; the server is never silent for so long.
const STALE = 12_000

/**
 * Serves the tabs of a browser with the logs they read, over one connection for all: `GET /api/streams?read=…`.
 * Returns what takes a tab's port. It runs in a `SharedWorker`: `onconnect = ({ ports }) => serve(ports[0])`.
 */
export function createFollower(fetch: typeof globalThis.fetch = (...request) => globalThis.fetch(...request)): (port: Port) => void {
  const readings = new Map<string, Set<Reading>>()
  const alive = new Map<Port, number>()
  let connection: Connection | null = null
  let timer: ReturnType<typeof setTimeout> | undefined
  let base = ''
  let ticked = 0
  let tick: ReturnType<typeof setTimeout> | undefined
  const tell = (reading: Reading, news: { type: Exclude<News['type'], 'frame' | 'refused'> } | { type: 'refused'; problem: Refused }) => {
    release(reading)
    reading.port.postMessage({ ...news, key: reading.key })
  }
  const release = (reading: Reading) => {
    const { port, key, held: text } = reading
    reading.held = ''
    if (text !== '') port.postMessage({ type: 'frame', text, key })
  }
  const releaseAll = () => {
    clearTimeout(tick)
    tick = undefined
    ticked = Date.now()
    for (const reading of all()) release(reading)
  }
  const all = () => [...readings.values()].flatMap((set) => [...set])
  const close = () => {
    connection?.control.abort()
    connection = null
  }
  const forget = (log: string, gone: (reading: Reading) => boolean) => {
    const set = readings.get(log)
    for (const reading of set ?? []) if (gone(reading)) set!.delete(reading)
    if (set?.size === 0) readings.delete(log)
    if (readings.size === 0) close()
  }
  const finish = (log: string, type: 'end' | 'settled' | 'lost' | 'full') => {
    for (const reading of readings.get(log) ?? []) tell(reading, { type: type === 'end' && !reading.level ? 'lost' : type })
    forget(log, () => true)
  }
  const fail = (type: 'lost' | 'full' = 'lost') => {
    for (const log of Array.from(readings.keys())) finish(log, type)
    close()
  }
  const take = ({ event: log, data, id }: Frame) => {
    const readers = log === undefined ? undefined : readings.get(log)
    if (!readers || log === undefined || data === undefined) return
    const { type, ...rest } = JSON.parse(data) as { type: string }
    if (type === 'settled') return finish(log, 'settled')
    if (type === 'refused') {
      for (const reading of readers) tell(reading, { type: 'refused', problem: rest as Refused })
      return forget(log, () => true)
    }
    const text = `data: ${data}\n${id === undefined ? '' : `id: ${id}\n`}\n`
    for (const reading of readers) {
      if (reading.level) {
        reading.held += text
        reading.cursor = id ?? reading.cursor
      } else reading.level = id === reading.cursor
    }
    if (id !== undefined && (type === 'finish' || type === 'stop' || type === 'error')) finish(log, 'end')
  }
  const open = async () => {
    timer = undefined
    close()
    const logs = [...readings.keys()]
    if (logs.length === 0) return
    const control = new AbortController()
    const here: Connection = { control, logs: new Set(logs), opened: false, heard: Date.now() }
    connection = here
    const patience = createPatience(control.signal, () => () => undefined)
    try {
      const url = new URL('api/streams', base)
      for (const log of logs) {
        const from = begin([...readings.get(log)!])
        url.searchParams.append('read', from === null ? log : `${log}@${from}`)
      }
      const response = await fetch(url, { headers: { Accept: 'text/event-stream' }, cache: 'no-store', signal: patience.signal })
      // Each tab then hears for itself what the server has to say, be it that the person must log in.
      if (!response.ok || !response.body) return void (connection === here && fail('full'))
      here.opened = true
      for (const reading of all()) tell(reading, { type: 'open' })
      const decoder = new TextDecoder()
      const parse = createFrameParser()
      let beaten = 0
      for (let reader = response.body.getReader(); ; ) {
        const { done, value } = await reader.read()
        if (done || connection !== here) break
        patience.renew()
        here.heard = Date.now()
        const frames = parse(decoder.decode(value, { stream: true }))
        for (const frame of frames) take(frame)
        if (Date.now() - ticked >= TICK) releaseAll()
        else tick ??= setTimeout(releaseAll, TICK)
        // A sign of life goes to all, and so does a frame to those whose log it is not of.
        if (Date.now() - beaten < BEAT && frames.some(({ data }) => data !== undefined)) continue
        beaten = Date.now()
        for (const reading of all()) tell(reading, { type: 'beat' })
      }
    } catch {
      // A broken connection: the tabs decide when to try again.
    } finally {
      patience.end()
    }
    // Opened anew meanwhile: the tabs did not notice.
    if (connection === here) fail()
  }
  const read = (port: Port, wish: Wish & { type: 'read' }) => {
    base = wish.base
    const set = readings.get(wish.log) ?? new Set()
    const { key, cursor } = wish
    // Until a connection begins for it, what flows is not for it.
    const reading: Reading = { port, key, cursor, level: false, held: '' }
    tell(reading, { type: 'heard' })
    if (!readings.has(wish.log) && readings.size >= MOST) return tell(reading, { type: 'full' })
    const flows = connection !== null && connection.opened && connection.logs.has(wish.log) && Date.now() - connection.heard < STALE
    const joins = flows && [...set].some((other) => other.level && other.cursor === cursor)
    set.add(reading)
    readings.set(wish.log, set)
    if (joins) {
      reading.level = true
      tell(reading, { type: 'open' })
    } else timer ??= setTimeout(() => void open(), GATHER)
  }
  const leave = (port: Port, key?: number) => {
    for (const log of Array.from(readings.keys())) forget(log, (reading) => reading.port === port && (key === undefined || reading.key === key))
  }
  const sweep = setInterval(() => {
    for (const [port, seen] of alive) if (Date.now() - seen > SILENT_TAB) leave(port)
  }, LOOK)
  ;(sweep as { unref?: () => void }).unref?.()

  return (port) => {
    alive.set(port, Date.now())
    port.onmessage = ({ data }: MessageEvent<Wish>) => {
      if (alive.has(port)) alive.set(port, Date.now())
      if (data.type === 'read') read(port, data)
      else if (data.type === 'leave') leave(port, data.key)
      else if (data.type === 'bye') leave(port)
      else if (data.type === 'lock') {
        // Granted when the tab has gone; there is nothing more to count on its signs of life for.
        alive.delete(port)
        void navigator.locks.request(data.name, () => leave(port)).catch(() => undefined)
      }
    }
    port.start?.()
  }
}

/** Where a connection has to begin for all of these: at their common place, or at the start, which levels the others. */
function begin(readers: readonly Reading[]): string | null {
  const cursors = new Set(readers.map(({ cursor }) => cursor))
  const from = cursors.size === 1 ? readers[0]!.cursor : null
  for (const reading of readers) reading.level = reading.cursor === from
  return from
}
