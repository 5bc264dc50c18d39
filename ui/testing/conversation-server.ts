import type { ServerResponse } from 'node:http'
import { json, LogServer, problem, ScriptedLog, type Received } from './log-server.js'

type Json = Record<string, unknown>

/** A conversation as the scripted server keeps it. */
export interface Kept {
  readonly id: string
  title: string
  readonly created_at: string
  updated_at: string
  leaf: string | null
  settings: Json
  shared: string | null
  version: number
  readonly messages: Json[]
}

/** A scripted server that has conversations, as docs/conversations.md describes them. */
export class ConversationServer extends LogServer {
  readonly conversations = new Map<string, Kept>()
  #clock = Date.UTC(2026, 10, 28)

  /** Puts a conversation on the server. */
  keepConversation(part: Partial<Kept> & { readonly id: string }): Kept {
    const now = this.#now()
    const kept = { title: '', created_at: now, updated_at: now, leaf: null, settings: {}, shared: null, version: 1, messages: [], ...part }
    this.conversations.set(kept.id, kept)
    return kept
  }

  /** Questions and finished answers, one below the other. */
  keepTurns(id: string, count: number): Kept {
    const kept = this.keepConversation({ id, title: id })
    for (let turn = 0; turn < count; turn++) {
      const parent = turn === 0 ? null : `turn-${turn - 1}`
      kept.messages.push(turn % 2 === 0 ? questionNode(`turn-${turn}`, parent, `Question ${turn}`) : answerNode(`turn-${turn}`, parent!, { state: 'finished', text: `Answer ${turn}` }))
    }
    kept.leaf = count === 0 ? null : `turn-${count - 1}`
    return kept
  }

  /** The requests of one kind, in the order in which they came. */
  requests(method: string, path: RegExp): Received[] {
    return this.received.filter((request) => request.method === method && path.test(request.path))
  }

  protected override route(request: Received, response: ServerResponse): void {
    const { method } = request
    const url = new URL(request.path, 'http://server')
    const [, name, id, rest = ''] = /^\/api\/(conversations|shared)(?:\/([^/]+))?(?:\/(.+))?$/.exec(url.pathname) ?? []
    const body = (request.body === '' ? {} : JSON.parse(request.body)) as Json
    if (url.pathname === '/api/streams' && url.searchParams.has('read')) return this.#follow(url.searchParams.getAll('read'), response)
    if (url.pathname === '/api/cache') return json(response, 200, { answers: 2, hits: 1, joins: 0, saved: { seconds: 1.5, tokens: 10 }, entries: 1 })
    if (url.pathname === '/api/visitor/link') return json(response, 200, { url: '/join/token', expires_at: this.#now() })
    if (name === undefined) return super.route(request, response)
    if (name === 'shared') return this.#shared(id ?? '', rest, request, response)
    if (id === undefined) return this.#list(url.searchParams, request, response)
    if (id === 'import') return this.#import(body, response)
    const kept = this.conversations.get(id)
    if (method === 'POST' && rest === 'messages') return this.#ask(kept, id, body, request, response)
    if (method === 'PUT') return json(response, kept ? 200 : 201, this.#whole(kept ?? this.keepConversation({ id, ...body })))
    if (!kept) return problem(response, 404, 'not_found', 'There is no such conversation.')
    if (rest === 'share') {
      kept.shared = method === 'POST' ? `token-${id}` : null
      kept.version++
      return method === 'POST' ? json(response, 200, { token: kept.shared, url: `/shared?id=${kept.shared}` }) : void response.writeHead(204).end()
    }
    if (method === 'DELETE') return void (this.conversations.delete(id), response.writeHead(204).end())
    if (method === 'PATCH') {
      Object.assign(kept, body, { version: kept.version + 1 })
      return json(response, 200, this.#summary(kept))
    }
    this.#tagged(this.#whole(kept), request, response)
  }

  #ask(known: Kept | undefined, id: string, body: Json, request: Received, response: ServerResponse): void {
    const { id: asked, answer, parent: named = null, follows = false, content, attachments = [], kind = 'ask' } = body as { id?: string; answer: string; parent?: string | null; follows?: boolean; content?: string; attachments?: Json[]; kind?: string }
    // Of the server's rule, the case that tests need: all is one branch.
    const parent = follows && known?.leaf ? known.leaf : named
    if (!known && parent !== null) return problem(response, 404, 'not_found', 'There is no such conversation.')
    const kept = known ?? this.keepConversation({ id, title: content ?? '', settings: (body.settings ?? {}) as Json })
    const find = (node: unknown) => kept.messages.find((message) => message.id === node)
    const before = find(answer)
    if (before) {
      this.#settle(kept)
      return json(response, 202, { conversation: this.#summary(kept), question: find(before.parent), answer: before })
    }
    const live = this.#live(kept)
    if (live !== null) return problem(response, 409, 'busy', 'An answer is being written.', { retryable: true, answer: live, location: `/api/streams/${live}` })
    if (parent !== null && !find(parent)) return problem(response, 422, 'unknown_parent', 'There is no such message.')
    const log = this.answer(request)
    this.keep(log)
    const files = attachments.map(({ name, type, data }, index) => ({ id: `file-${index}`, name, type, size: String(data).length }))
    const question = content === undefined ? find(parent)! : { ...questionNode(asked!, parent, content), attachments: files, kind }
    if (content !== undefined) kept.messages.push(question)
    const node = { ...answerNode(answer, String(question.id)), location: `/api/streams/${log.id}` }
    kept.messages.push(node)
    Object.assign(kept, { leaf: answer, version: kept.version + 1, updated_at: this.#now() })
    this.#settle(kept)
    json(response, 202, { conversation: this.#summary(kept), question, answer: node })
  }

  /** Writes the copy of every answer whose log has ended. */
  #settle(kept: Kept): void {
    for (const node of kept.messages) {
      const log = node.state === 'open' && this.#logOf(node)
      if (!log || !log.ended) continue
      const { id: _, ...state } = log.describe()
      Object.assign(node, state, { saved: { seconds: 1, tokens: 2 } })
      kept.version++
    }
  }

  #logOf({ location }: Json): ScriptedLog | undefined {
    return this.logs.get(String(location).split('/').at(-1)!)
  }

  #live(kept: Kept): string | null {
    this.#settle(kept)
    return (kept.messages.find(({ state }) => state === 'open')?.id as string | undefined) ?? null
  }

  #summary(kept: Kept): Json {
    const { id, title, created_at, updated_at, shared } = kept
    return { id, title, created_at, updated_at, live: this.#live(kept), shared }
  }

  #whole(kept: Kept): Json {
    const { leaf, settings, messages } = kept
    return { ...this.#summary(kept), leaf, settings, version: kept.version, messages }
  }

  #list(query: URLSearchParams, request: Received, response: ServerResponse): void {
    const words = query.get('q')
    const all = [...this.conversations.values()].sort((one, other) => other.updated_at.localeCompare(one.updated_at))
    if (words !== null) {
      const found = all.flatMap((kept) => {
        const message = kept.messages.find(({ text, content }) => String(text ?? content).includes(words))
        return message ? [{ ...this.#summary(kept), match: { message: message.id, text: message.text ?? message.content } }] : []
      })
      return json(response, 200, { conversations: found, next: null })
    }
    const start = Number(query.get('after') ?? 0)
    const end = start + Number(query.get('limit') ?? 50)
    const next = end < all.length ? String(end) : null
    this.#tagged({ conversations: all.slice(start, end).map((kept) => this.#summary(kept)), next }, request, response)
  }

  #import(body: Json, response: ServerResponse): void {
    const files = (body.conversations ?? [body]) as (Partial<Kept> & { id: string })[]
    const kept = files.map((file) => this.keepConversation({ ...file, id: this.conversations.has(file.id) ? `${file.id}-2` : file.id }))
    json(response, 201, { conversations: kept.map((one) => this.#summary(one)) })
  }

  #shared(token: string, rest: string, request: Received, response: ServerResponse): void {
    const kept = [...this.conversations.values()].find(({ shared }) => shared === token)
    if (!kept) return problem(response, 404, 'not_found', 'This link is no longer valid.')
    if (rest !== 'stream') return this.#tagged(this.#whole(kept), request, response)
    const live = kept.messages.findLast(({ location }) => location !== null)
    this.#logOf(live!)!.serve(response, request.headers['last-event-id'] as string | undefined)
  }

  /** One connection over several logs. */
  #follow(reads: readonly string[], response: ServerResponse): void {
    response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8' })
    response.write('retry: 2000\n')
    let open = reads.length
    for (const read of reads) {
      const [id, offset] = read.split('@') as [string, string?]
      const log = this.logs.get(id)
      const say = (data: Json) => response.write(`event: ${id}\ndata: ${JSON.stringify(data)}\n\n`)
      const done = () => void (--open === 0 && response.end())
      if (!log) {
        say({ type: 'refused', status: 404, code: 'not_found', message: 'No such log.', retryable: false })
        done()
      } else if (log.ended && log.frames(offset).length === 0) {
        say({ type: 'settled' })
        done()
      } else response.on('close', log.watch(offset, (frame) => response.write(`event: ${id}\n${frame}`), done))
    }
  }

  #tagged(body: Json, { headers }: Received, response: ServerResponse): void {
    const tag = `"${Buffer.from(JSON.stringify(body)).toString('base64url').slice(-40)}-${JSON.stringify(body).length}"`
    response.setHeader('ETag', tag)
    if (headers['if-none-match'] === tag) response.writeHead(304).end()
    else json(response, 200, body)
  }

  #now(): string {
    return new Date((this.#clock += 1000)).toISOString()
  }
}

/** A question in the server's JSON. */
export function questionNode(id: string, parent: string | null, content: string): Json {
  return { id, parent, role: 'user', created_at: '2026-11-28T10:00:00.000Z', content, attachments: [], kind: 'ask' }
}

/** An answer in the server's JSON; open unless `more` says otherwise. */
export function answerNode(id: string, parent: string, more: Json = {}): Json {
  const finish = { type: 'finish', reason: 'stop', usage: null }
  return {
    id,
    parent,
    role: 'assistant',
    created_at: '2026-11-28T10:00:01.000Z',
    state: 'open',
    location: null,
    text: '',
    reasoning: '',
    tools: [],
    metadata: {},
    ending: more.state === 'finished' ? finish : null,
    usage: null,
    timing: null,
    model: null,
    continued: [],
    cache: null,
    produced_at: null,
    saved: null,
    ...more,
  }
}
