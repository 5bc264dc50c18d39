import { isRecord } from './events'
import type { LogSummary } from './fold-message'

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

/** Whether the answer came from the cache, in the words of RFC 9211, and how old it is in seconds. */
export interface CacheReport {
  readonly status: 'hit' | 'collapsed' | 'miss'
  readonly age: number | null
}

/** An opened log: where to find it again, and the bytes that already flow. */
export interface Attachment {
  readonly location: string
  readonly cache: CacheReport | null
  readonly response: Response
}

/** When the run that wrote a log produced its tokens, in seconds since it began. */
export interface Timing {
  readonly first_token: number | null
  readonly duration: number | null
}

/** A log summed up by the server. */
export interface LogDescription extends LogSummary {
  readonly id: string
  readonly offset: string | null
  readonly timing: Timing | null
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
}

/** A refusal that the server describes (RFC 9457 problem JSON). */
export class ProblemError extends Error {
  override name = 'ProblemError'
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly retryable: boolean,
    readonly retryAfter: number | null,
  ) {
    super(message)
  }
}

/** The requests this client makes, all relative to one base address. */
export interface Transport {
  ask(prompt: Prompt, options: AskOptions): Promise<Attachment>
  read(location: string, cursor: string | null, signal: AbortSignal): Promise<Response>
  describe(location: string, signal?: AbortSignal): Promise<LogDescription>
  stop(location: string): Promise<{ readonly detached: boolean; readonly log: LogDescription | null }>
  about(): Promise<About>
}

/** How a prompt is to be answered. */
export interface AskOptions {
  readonly signal: AbortSignal
  /** Call the model instead of replaying a cached answer. */
  readonly bypassCache?: boolean
  /** Lets a repeated POST join the run that the first one may have started. */
  readonly idempotencyKey?: string
}

/** Makes a transport for the server whose root is `base`, e.g. `document.baseURI`. */
export function createTransport(base: string, fetch: typeof globalThis.fetch = globalThis.fetch.bind(globalThis)): Transport {
  const json = { Accept: 'application/json' }
  return {
    async ask(prompt, { signal, bypassCache, idempotencyKey }) {
      const headers: Record<string, string> = { 'Content-Type': 'application/json', Accept: 'text/event-stream' }
      if (bypassCache) headers['Cache-Control'] = 'no-cache'
      if (idempotencyKey) headers['Idempotency-Key'] = idempotencyKey
      const url = new URL('api/stream/completion/chat', base)
      // No `cache: 'no-store'` here: browsers turn it into `Cache-Control: no-cache`, which calls the model again.
      const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(prompt), signal })
      if (!response.ok) throw await problemOf(response)
      const location = response.headers.get('Location')
      if (!location || !isEventStream(response)) {
        await response.body?.cancel()
        throw new ProblemError(response.status, 'not_headwater', 'The server did not answer with a stream.', true, null)
      }
      return { location: new URL(location, response.url).href, cache: readCacheReport(response.headers), response }
    },
    read(location, cursor, signal) {
      const headers: Record<string, string> = { Accept: 'text/event-stream' }
      if (cursor !== null) headers['Last-Event-ID'] = cursor
      return fetch(location, { headers, signal, cache: 'no-store' })
    },
    async describe(location, signal) {
      const response = await fetch(location, { headers: json, cache: 'no-store', ...(signal && { signal }) })
      if (!response.ok) throw await problemOf(response)
      return (await response.json()) as LogDescription
    },
    async stop(location) {
      const response = await fetch(`${location}/stop`, { method: 'POST', headers: json })
      if (!response.ok) throw await problemOf(response)
      const log: unknown = await response.json().catch(() => null)
      return { detached: response.status === 202, log: isRecord(log) ? (log as unknown as LogDescription) : null }
    },
    async about() {
      const response = await fetch(new URL('api/about', base), { headers: json })
      if (!response.ok) throw await problemOf(response)
      return (await response.json()) as About
    },
  }
}

/** Whether a response is an event stream (a captive portal answers 200 with a page). */
export function isEventStream(response: Response): boolean {
  return response.headers.get('Content-Type')?.startsWith('text/event-stream') ?? false
}

/** Turns an unsuccessful response into the error it describes. */
export async function problemOf(response: Response): Promise<ProblemError> {
  const body: unknown = await response.json().catch(() => null)
  const problem = isRecord(body) ? body : {}
  const words = [problem.detail, problem.title].find((word) => typeof word === 'string' && word !== '')
  const header = Number(response.headers.get('Retry-After') ?? NaN)
  return new ProblemError(
    response.status,
    typeof problem.code === 'string' ? problem.code : `http_${response.status}`,
    typeof words === 'string' ? words : `The server answered ${response.status}.`,
    typeof problem.retryable === 'boolean' ? problem.retryable : response.status >= 500 || response.status === 429,
    typeof problem.retry_after === 'number' ? problem.retry_after : Number.isFinite(header) ? header : null,
  )
}

function readCacheReport(headers: Headers): CacheReport | null {
  const words = headers.get('Cache-Status')?.split(';').map((word) => word.trim())
  if (!words) return null
  const age = Number(headers.get('Age') ?? NaN)
  const status = words.includes('hit') ? 'hit' : words.includes('collapsed') ? 'collapsed' : 'miss'
  return { status, age: Number.isFinite(age) ? age : null }
}
