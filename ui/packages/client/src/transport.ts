import type { Saved } from './events.js'
import type { LogSummary } from './fold-message.js'

const STREAM = 'text/event-stream'

/** One turn of a chat, in the shape of a request. */
export interface PromptMessage {
  readonly role: 'system' | 'user' | 'assistant'
  readonly content: string
}

/** The question to a model. */
export interface Prompt {
  readonly messages: readonly PromptMessage[]
  readonly model?: string
  readonly temperature?: number
}

/** An answer that was not asked of the model: it is replayed, or shared with a request that came before. */
export type CacheStatus = 'hit' | 'collapsed'

/** An opened log: where to find it again, and the bytes that already flow. */
export interface Attachment {
  readonly location: string
  readonly response: Response
}

/** When the run that wrote a log produced its tokens, in seconds since it began. */
export interface Timing {
  readonly first_token: number | null
  readonly duration: number | null
  /** When the first text or tool call came, after all reasoning; an older server does not say. */
  readonly first_text?: number | null
}

/** A log summed up by the server. */
export interface LogDescription extends LogSummary {
  readonly id: string
  readonly offset: string | null
  readonly timing: Timing | null
  /** What the cache has saved this request, of a replay that has ended. */
  readonly saved?: Saved | null
}

/** The server's description of itself. */
export interface About {
  readonly name: string
  readonly version: string
  readonly model: string
  readonly demo: boolean
  readonly notice: string | null
  /** Why the server cannot answer at the moment, and what to do. */
  readonly problem?: string | null
  /** The models that may be chosen. */
  readonly models?: readonly { readonly name: string; readonly images: boolean }[]
  /** Bytes of a question, at most. */
  readonly max_body?: number
  /** Whether callers have to log in. */
  readonly keys?: boolean
}

/** A refusal, in the server's words where it has any (RFC 9457 problem JSON). */
export class ProblemError extends Error {
  override name = 'ProblemError'
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    /** Whether the same request may succeed later. */
    readonly retryable: boolean,
    /** Seconds to wait before the next attempt, if the server says so. */
    readonly retryAfter: number | null,
  ) {
    super(message)
  }
}

/** The requests that this client makes; each rejects with a `ProblemError` where the server refuses it. */
export interface Transport {
  ask(prompt: Prompt, options: AskOptions): Promise<Attachment>
  read(location: string, cursor: string | null, signal: AbortSignal): Promise<Response>
  /** Fetches JSON: the state of a log by its location, or another path of the server such as `api/about`. */
  get<T>(path: string, signal?: AbortSignal | null): Promise<T>
  /** Ends an answer; the state that comes back is still `open` where others go on reading it. */
  stop(location: string): Promise<LogDescription>
}

/** How a prompt is to be answered. */
export interface AskOptions {
  readonly signal: AbortSignal
  /** `Idempotency-Key` lets a repeated request join its first run; `Cache-Control: no-cache` calls the model in any case. */
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * Makes a transport for the server whose root is `base`: an address such as `https://example.org/llm/`, or a path of
 * the page's own server. `fetch` may add what the server wants to see, such as an `Authorization` header.
 */
export function createTransport(base = '/', fetch: typeof globalThis.fetch = (...args) => globalThis.fetch(...args)): Transport {
  const request = async (path: string, type: string, headers: Readonly<Record<string, string>>, init: RequestInit) => {
    // Resolved late: where a server renders the page, there is no address to resolve a path against.
    const url = new URL(path, new URL(base, globalThis.location?.href))
    const response = await fetch(url, { ...init, headers: { Accept: type, ...headers } })
    const expected = response.status === 204 || (response.ok && response.headers.get('Content-Type')?.startsWith(type))
    if (!expected) throw await problemOf(response)
    return response
  }
  const json = async <T>(path: string, method: string, signal: AbortSignal | null = null): Promise<T> =>
    (await request(path, 'application/json', {}, { method, signal, cache: 'no-store' })).json()
  return {
    async ask(prompt, { headers, signal }) {
      const sent = { 'Content-Type': 'application/json', ...headers }
      // No `cache: 'no-store'` here: browsers turn it into `Cache-Control: no-cache`, which calls the model again.
      const response = await request('api/stream/completion/chat', STREAM, sent, { method: 'POST', body: JSON.stringify(prompt), signal })
      const location = response.headers.get('Location')
      if (!location) throw await problemOf(response)
      return { location: new URL(location, response.url).href, response }
    },
    read: (location, cursor, signal) =>
      request(location, STREAM, cursor === null ? {} : { 'Last-Event-ID': cursor }, { signal, cache: 'no-store' }),
    get: (path, signal) => json(path, 'GET', signal),
    stop: (location) => json(`${location}/stop`, 'POST'),
  }
}

/** Turns a response that is not what was asked for into an error. */
export async function problemOf(response: Response): Promise<ProblemError> {
  const { ok, status, headers } = response
  // A captive portal answers 200 with a page, and so does a server of another kind.
  const problem = await (ok ? response.body?.cancel() : response.json().catch(() => undefined))
  return new ProblemError(
    status,
    problem?.code ?? `http_${status}`,
    problem?.detail ?? `The server answered unexpectedly (${status}).`,
    problem?.retryable ?? (ok || status >= 500 || [408, 425, 429].includes(status)),
    problem?.retry_after ?? (Number(headers.get('Retry-After')) || null),
  )
}
