import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createParser } from 'eventsource-parser'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LogServer } from '../../../testing/log-server.js'
import { parseEvent } from './events.js'
import { EMPTY_MESSAGE, fold, settle, type Message } from './fold-message.js'
import { createFrameParser, type Frame } from './frames.js'
import { createLiveLog } from './live-log.js'
import { createTransport, type LogDescription } from './transport.js'

// The corpus is shared with pytest: what the server writes and what this client reads are one set of files.
const FOLDER = join(import.meta.dirname, '../../../../tests/transcripts')
const SUFFIX = '.native.sse'
const names = list().map((file) => file.slice(0, -SUFFIX.length))

function list(): string[] {
  try {
    return readdirSync(FOLDER).filter((file) => file.endsWith(SUFFIX))
  } catch {
    return []
  }
}

function foldChunks(chunks: readonly string[]): { message: Message; offset: string | undefined } {
  let message = EMPTY_MESSAGE
  let offset: string | undefined
  const parser = createParser({
    onEvent: ({ id, data }) => {
      message = fold(message, parseEvent(data))
      offset = id ?? offset
    },
  })
  for (const chunk of chunks) parser.feed(chunk)
  return { message, offset }
}

/** A message without what only a reader of the stream knows: where in the text its seams lie. */
function told(message: Message): Message {
  const continued = message.continued.map((seam) => {
    const { at: _, ...rest } = seam
    return rest
  })
  return { ...message, continued }
}

test('there are transcripts to read', () => {
  expect(names, `no *${SUFFIX} in tests/transcripts`).not.toEqual([])
})

describe.each(names)('%s', (name) => {
  const stream = readFileSync(join(FOLDER, name + SUFFIX), 'utf8')
  // The stream carries everything but the timing, and so what a replay saves: there, entries have no times of their own.
  const { timing: _, saved: __, ...state } = JSON.parse(readFileSync(join(FOLDER, `${name}.state.json`), 'utf8')) as LogDescription & { saved: unknown }

  test('folds to the state that the server returns, field by field', () => {
    const { message, offset } = foldChunks([stream])
    expect({ ...told(message), offset }).toEqual(state)
  })

  test('our parser finds the frames that another one does, however the stream is cut', () => {
    const frames: Frame[] = []
    createParser({ onEvent: ({ id, data }) => frames.push({ ...(id !== undefined && { id }), data }) }).feed(stream)
    for (let cut = 0; cut <= stream.length; cut++) {
      const parse = createFrameParser()
      const found = [...parse(stream.slice(0, cut)), ...parse(stream.slice(cut))]
      const told = found.filter(({ data }) => data !== undefined).map(({ id, data }) => ({ ...(id !== undefined && { id }), data }))
      expect(told).toEqual(frames)
    }
  })

  test('settled from the state at any point, it is the same answer', () => {
    const frames = stream.split(/(?<=\n\n)/)
    const { message } = foldChunks([stream])
    for (let seen = 0; seen <= frames.length; seen++) {
      const part = foldChunks(frames.slice(0, seen)).message
      // An answer that knows its ending has nothing to be settled, and its id comes with its start.
      if (part.ending === null) expect({ ...told(settle(part, state)), id: message.id }).toEqual(told(message))
    }
  })

  test('folds the same however it is cut into chunks', () => {
    const whole = foldChunks([stream])
    for (let cut = 0; cut <= stream.length; cut++) expect(foldChunks([stream.slice(0, cut), stream.slice(cut)])).toEqual(whole)
    expect(foldChunks([...stream])).toEqual(whole)
  })
})

describe('over a connection', () => {
  const server = new LogServer()
  beforeAll(() => server.start())
  afterAll(() => server.close())

  test.each(names)('%s reads the same after a break at any frame', async (name) => {
    const stream = readFileSync(join(FOLDER, name + SUFFIX), 'utf8')
    const frames = stream.split(/(?<=\n\n)/)
    const whole = foldChunks([stream])
    for (let cut = 0; cut < frames.length; cut++) {
      let first = true
      server.override = ({ headers }, response) => {
        const after = headers['last-event-id'] as string | undefined
        const start = after === undefined ? 0 : frames.findIndex((frame) => frame.includes(`id: ${after}\n`)) + 1
        const rest = first ? frames.slice(0, cut) : frames.slice(start)
        first = false
        response.writeHead(200, { 'Content-Type': 'text/event-stream' }).end(rest.join(''))
        return true
      }
      const log = createLiveLog({ transport: createTransport(server.url), location: `${server.url}api/streams/x`, wakes: immediately })
      // A log that is still open at the end of its transcript must never look ended.
      expect((await log.open()).type).toBe(whole.message.ending ? 'ended' : 'gave-up')
      expect(log.getSnapshot()).toMatchObject({ message: whole.message, cursor: whole.offset })
    }
  })
})

function immediately(listener: () => void): () => void {
  const immediate = setImmediate(listener)
  return () => clearImmediate(immediate)
}
