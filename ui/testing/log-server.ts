import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { EMPTY_MESSAGE, fold, isEnding, type LogEvent } from '@headwater/client'

/** A request as it reached the server. */
export interface Received {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/** A log that a test writes by hand; readers get what is there, then what comes. */
export class ScriptedLog {
  readonly entries: { id: string; event: LogEvent }[] = []
  readonly #readers = new Set<() => void>()

  constructor(
    readonly id: string,
    events: readonly LogEvent[] = [],
  ) {
    this.append(...events)
  }

  append(...events: LogEvent[]): void {
    for (const event of events) this.entries.push({ id: `1-${this.entries.length + 1}`, event })
    for (const wake of this.#readers) wake()
  }

  get ended(): boolean {
    const last = this.entries.at(-1)
    return last !== undefined && isEnding(last.event)
  }

  /** The bytes after an offset, as one reader gets them. */
  frames(after: string | undefined): string[] {
    const start = after === undefined ? 0 : this.entries.findIndex(({ id }) => id === after) + 1
    return this.entries.slice(start).map(({ id, event }) => `data: ${JSON.stringify(event)}\nid: ${id}\n\n`)
  }

  /** How many are reading it. */
  get readers(): number {
    return this.#readers.size
  }

  /** Calls with every frame after an offset as it comes, and with the end; returns the way to leave. */
  watch(after: string | undefined, frame: (frame: string) => void, end: () => void): () => void {
    let sent = 0
    const wake = () => {
      const frames = this.frames(after)
      for (const one of frames.slice(sent)) frame(one)
      sent = frames.length
      if (!this.ended) return
      this.#readers.delete(wake)
      end()
    }
    this.#readers.add(wake)
    wake()
    return () => void this.#readers.delete(wake)
  }

  describe(): Record<string, unknown> {
    const message = this.entries.reduce((message, { event }) => fold(message, event), EMPTY_MESSAGE)
    const timing = { first_token: 0.25, duration: 1.25 }
    return { ...message, id: this.id, offset: this.entries.at(-1)?.id ?? '1-0', timing }
  }

  /** Writes to a response until the ending; `cut` breaks the connection after that many bytes. */
  serve(response: ServerResponse, after: string | undefined, headers: Record<string, string> = {}, cut = Infinity): void {
    if (this.ended && this.frames(after).length === 0) return void response.writeHead(204).end()
    response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8', Location: `/api/streams/${this.id}`, ...headers })
    response.flushHeaders()
    let sent = 0
    let budget = cut
    const send = (bytes: string) => {
      if (budget <= 0) return
      response.write(bytes.slice(0, budget))
      budget -= bytes.length
      // Destroyed only once the bytes are out, or the cut would come too early.
      if (budget <= 0) response.write('', () => response.destroy())
    }
    const wake = () => {
      const frames = this.frames(after)
      for (const frame of frames.slice(sent)) send(frame)
      sent = frames.length
      if (this.ended && budget > 0) response.end()
    }
    send('retry: 2000\n')
    if (cut <= 0) response.destroy()
    this.#readers.add(wake)
    response.on('close', () => this.#readers.delete(wake))
    wake()
  }
}

/** What a test decides about a request; anything it leaves alone is served from the logs. */
export type Override = (request: Received, response: ServerResponse) => boolean | void

/** A server of scripted logs in this process, in the native dialect. */
export class LogServer {
  readonly logs = new Map<string, ScriptedLog>()
  readonly received: Received[] = []
  /** Opens the log that answers a prompt. */
  answer: (request: Received) => ScriptedLog = () => new ScriptedLog(`log-${this.logs.size + 1}`)
  override: Override = () => false
  headers: Record<string, string> = { 'Cache-Status': 'headwater; fwd=miss' }
  url = ''
  readonly #http = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      const received = { method: request.method ?? '', path: request.url ?? '', headers: request.headers, body }
      this.received.push(received)
      if (!this.override(received, response)) this.route(received, response)
    })
  })

  async start(port = 0): Promise<this> {
    await new Promise<void>((resolve) => this.#http.listen(port, '127.0.0.1', resolve))
    this.url = `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}/`
    return this
  }

  /** Breaks every connection. */
  cut(): void {
    this.#http.closeAllConnections()
  }

  async close(): Promise<void> {
    this.#http.closeAllConnections()
    await new Promise((resolve) => this.#http.close(resolve))
  }

  /** Puts a log on the server and returns its address. */
  keep(log: ScriptedLog): string {
    this.logs.set(log.id, log)
    return `${this.url}api/streams/${log.id}`
  }

  /** Answers a request that no override has taken. */
  protected route(request: Received, response: ServerResponse): void {
    const { method, path, headers } = request
    if (method === 'POST' && path === '/api/stream/completion/chat') {
      const log = this.answer(request)
      this.keep(log)
      return log.serve(response, undefined, this.headers)
    }
    if (path === '/api/about') return json(response, 200, { name: 'Headwater', version: '1', model: 'scripted', demo: true, notice: 'For tests.' })
    const [, id, stop] = /^\/api\/streams\/([^/]+)(\/stop)?$/.exec(path) ?? []
    const log = this.logs.get(id ?? '')
    if (!log) return problem(response, 404, 'not_found', 'No such log.')
    if (stop && !log.ended) log.append({ type: 'stop', by: 'user' })
    if (stop || headers.accept === 'application/json') return json(response, 200, log.describe())
    log.serve(response, headers['last-event-id'] as string | undefined)
  }
}

/** Answers with JSON. */
export function json(response: ServerResponse, status: number, body: unknown, type = 'application/json'): void {
  response.writeHead(status, { 'Content-Type': type }).end(JSON.stringify(body))
}

/** Answers with RFC 9457 problem JSON. */
export function problem(response: ServerResponse, status: number, code: string, detail: string, more: object = {}): void {
  json(response, status, { type: 'about:blank', title: 'Problem', status, detail, code, ...more }, 'application/problem+json')
}

/** Something a test waits for: `happen` lets it go on. */
export function moment(): { readonly came: Promise<void>; readonly happen: () => void } {
  let happen = () => undefined as void
  const came = new Promise<void>((resolve) => (happen = resolve))
  return { came, happen: () => happen() }
}
