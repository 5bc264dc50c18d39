import { base64 } from './file-data.js'
import type { CacheFigures, ChatSettings } from './conversations-types.js'
import { HURRY } from './link.js'
import type { Pending } from './outbox.js'
import { problemOf } from './transport.js'
import type { WireAsked, WireConversation, WireSummary } from './wire.js'

/** A page of the list. */
export interface WireList {
  readonly conversations: readonly (WireSummary & { readonly match?: { readonly message: string | null; readonly text: string } })[]
  readonly next: string | null
  /** Of a search: whether all conversations were looked at. */
  readonly complete?: boolean
}

/** What may be changed of a conversation. */
export interface Changes {
  readonly title?: string
  readonly leaf?: string
  readonly settings?: ChatSettings
}

/** The part of some changes that a conversation shows of itself. */
export function headOf(changes: Changes | null): Pick<Changes, 'title' | 'settings'> {
  const { leaf: _, ...head } = changes ?? {}
  return head
}

/** The tag of a representation, and the representation; null where it is still the one that `tag` names. */
export interface Tagged<T> {
  readonly tag: string | null
  readonly body: T | null
}

/** The requests about conversations; each rejects with a `ProblemError` where the server refuses it. */
export type Requests = ReturnType<typeof createRequests>

// Longer than a server takes that is short of nothing but luck; files have to be sent first.
const HEADERS = 20_000
const UPLOAD = 120_000
const WHOLE = 300_000

/** Makes the requests about conversations to the server at `base`; `live` says whether it answered last time. */
export function createRequests(base: string, fetch: typeof globalThis.fetch, live: () => boolean) {
  const address = (path: string) => new URL(path, new URL(base, globalThis.location?.href)).href
  const send = async (method: string, path: string, init: RequestInit & { timeout?: number; tag?: string | null } = {}) => {
    const { timeout = live() ? HEADERS : HURRY, tag, signal, ...rest } = init
    const headers: Record<string, string> = { Accept: 'application/json' }
    if (rest.body) headers['Content-Type'] = 'application/json'
    if (tag) headers['If-None-Match'] = tag
    const silence = new AbortController()
    const timer = setTimeout(() => silence.abort(), timeout)
    const signals = [silence.signal, AbortSignal.timeout(WHOLE), ...(signal ? [signal] : [])]
    // Not for a question: browsers turn it into `Cache-Control: no-cache`, which calls the model again.
    if (method === 'GET') rest.cache = 'no-store'
    const response = await fetch(address(path), { ...rest, method, headers, signal: AbortSignal.any(signals) }).finally(() => clearTimeout(timer))
    const { ok, status } = response
    const expected = status === 204 || (status === 304 && tag) || (ok && response.headers.get('Content-Type')?.startsWith('application/json'))
    if (!expected) throw await problemOf(response)
    return response
  }
  const json = async <T>(method: string, path: string, body?: object, init: Parameters<typeof send>[2] = {}): Promise<T> =>
    (await send(method, path, { ...init, ...(body && { body: JSON.stringify(body) }) })).json()
  const tagged = async <T>(path: string, tag: string | null): Promise<Tagged<T>> => {
    const response = await send('GET', path, { tag })
    if (response.status === 304) return { tag, body: null }
    return { tag: response.headers.get('ETag'), body: await response.json() }
  }
  return {
    address,
    list: (tag: string | null, limit: number) => tagged<WireList>(`api/conversations?limit=${limit}`, tag),
    more: (after: string, limit: number) => json<WireList>('GET', `api/conversations?limit=${limit}&after=${encodeURIComponent(after)}`),
    search: (words: string, signal: AbortSignal) =>
      json<WireList>('GET', `api/conversations?q=${encodeURIComponent(words)}`, undefined, { signal }),
    conversation: (id: string, tag: string | null) => tagged<WireConversation>(`api/conversations/${id}`, tag),
    shared: (token: string, tag: string | null) => tagged<WireConversation>(`api/shared/${encodeURIComponent(token)}`, tag),
    change: (id: string, changes: Changes) => json<WireSummary>('PATCH', `api/conversations/${id}`, changes),
    remove: async (id: string, keepalive = false) => void (await send('DELETE', `api/conversations/${id}`, { keepalive })),
    /** Asks; `settings` are those of a conversation that this question makes. */
    ask: (pending: Pending, settings: ChatSettings, signal: AbortSignal) =>
      json<WireAsked>('POST', `api/conversations/${pending.conversation}/messages`, bodyOf(pending, settings), {
        signal,
        ...(pending.files.length > 0 && { timeout: UPLOAD }),
      }),
    /** The data of a file that the server has, in base64. */
    async file(id: string, file: string) {
      const response = await fetch(address(`api/conversations/${id}/attachments/${encodeURIComponent(file)}`), { signal: AbortSignal.timeout(UPLOAD) })
      if (!response.ok) throw await problemOf(response)
      return base64(new Uint8Array(await response.arrayBuffer()))
    },
    share: (id: string) => json<{ token: string; url: string }>('POST', `api/conversations/${id}/share`),
    unshare: async (id: string) => void (await send('DELETE', `api/conversations/${id}/share`)),
    importFile: (file: object) => json<Pick<WireList, 'conversations'>>('POST', 'api/conversations/import', file, { timeout: UPLOAD }),
    cache: () => json<CacheFigures>('GET', 'api/cache'),
    clearCache: async () => void (await send('DELETE', 'api/cache')),
    joinLink: () => json<{ url: string; expires_at: string }>('POST', 'api/visitor/link'),
    exportAddress: (id: string, format: string) => address(`api/conversations/${id}/export?format=${format}`),
    fileAddress: (id: string, file: string, shared = false) =>
      address(`api/${shared ? 'shared' : 'conversations'}/${encodeURIComponent(id)}/attachments/${encodeURIComponent(file)}`),
  }
}

function bodyOf({ id, answer, parent, follows, kind, text, files, makes }: Pending, settings: ChatSettings): object {
  if (kind === 'again') return { answer, parent }
  const attachments = files.map(({ name, type, data }) => ({ name, type, data }))
  // The rest of an answer is asked for behind that answer, whatever came since.
  const moves = follows && kind === 'ask' && { follows }
  return { id, answer, parent, content: text, kind, ...moves, ...(files.length > 0 && { attachments }), ...(makes && { settings }) }
}
