import { EMPTY_MESSAGE, type Message } from './fold-message.js'
import type { Outcome } from './log-reader.js'
import { ProblemError, type CacheStatus, type PromptMessage, type Timing } from './transport.js'

/** What the person wrote. */
export interface Question {
  readonly role: 'user'
  readonly id: string
  readonly text: string
}

/** How an answer stands: `failed` is the server's last word, `interrupted` means that there may be more of it. */
export type AnswerStatus = 'streaming' | 'finished' | 'stopped' | 'failed' | 'interrupted'

/** Why an answer broke off. */
export interface Failure {
  readonly code: string
  readonly message: string
  /** Seconds to wait, if the server says so. */
  readonly retryAfter: number | null
}

/** What the model wrote: text and offset are one value, so that storing it can never tear them apart. */
export interface Answer {
  readonly role: 'assistant'
  readonly id: string
  readonly status: AnswerStatus
  readonly message: Message
  readonly location: string | null
  readonly cursor: string | null
  /** Whether the answer is replayed or shared; null if the model was asked, or the server does not say. */
  readonly cache: CacheStatus | null
  readonly failure: Failure | null
  readonly bypassCache: boolean
  readonly stopping: boolean
  readonly reconnecting: boolean
  /** What an `onEnded` may add: the server's own figures, and when a replayed answer was produced (ms since 1970). */
  readonly timing?: Timing | null
  readonly producedAt?: number | null
}

/** One side's contribution to a chat. */
export type Turn = Question | Answer

/** A chat as it is kept between visits. */
export interface SavedChat {
  readonly id: string
  readonly turns: readonly Turn[]
}

/** Keeps one chat, whole, in one step; `load` answers null when there is none it can read. */
export interface ChatStorage {
  load(): SavedChat | null
  save(chat: SavedChat): void
}

/** An answer that has not begun yet. */
export function newAnswer(bypassCache: boolean, id = newId()): Answer {
  return {
    role: 'assistant',
    id,
    status: 'streaming',
    message: EMPTY_MESSAGE,
    location: null,
    cursor: null,
    cache: null,
    failure: null,
    bypassCache,
    stopping: false,
    reconnecting: false,
  }
}

/** A random name; `crypto.randomUUID` is missing on plain-http addresses other than localhost. */
export function newId(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join('-')
}

/** The prompt that turns make: partial answers included, empty ones not. */
export function promptOf(turns: readonly Turn[]): PromptMessage[] {
  return turns.flatMap((turn): PromptMessage[] => {
    const content = turn.role === 'user' ? turn.text : turn.message.text
    return content === '' ? [] : [{ role: turn.role, content }]
  })
}

/** What the headers of a response say of the cache (RFC 9211). */
export function cacheOf({ headers }: Response): CacheStatus | null {
  return (/hit|collapsed/.exec(headers.get('Cache-Status') ?? '')?.[0] as CacheStatus | undefined) ?? null
}

/** The fields of an answer that its ending decides. */
export type Verdict = Pick<Answer, 'status' | 'failure'>

/** What the end of reading says of an answer. */
export function verdict({ ending }: Message, outcome: Outcome): Verdict {
  if (outcome.type === 'gone') return trouble('failed', { code: 'gone', message: 'The server no longer has this answer.' })
  if (outcome.type === 'refused') return trouble('interrupted', outcome.problem)
  if (!ending) return trouble('interrupted', UNREACHABLE)
  if (ending.type === 'error') return trouble('failed', { ...ending, retryAfter: ending.retry_after })
  return { status: ending.type === 'finish' ? 'finished' : 'stopped', failure: null }
}

/** What a question that could not be sent says of its answer. */
export function refusal(error: unknown): Verdict {
  return error instanceof ProblemError ? trouble('failed', error) : trouble('interrupted', UNREACHABLE)
}

/** An answer that broke off. */
export function trouble(status: AnswerStatus, { code, message, retryAfter = null }: Reason): Verdict {
  return { status, failure: { code, message, retryAfter } }
}

/** A refusal of the server as what is shown of it. */
export function failureOf({ code, message, retryAfter }: ProblemError): Failure {
  return { code, message, retryAfter }
}

type Reason = Pick<Failure, 'code' | 'message'> & { readonly retryAfter?: number | null | undefined }

const UNREACHABLE = { code: 'unreachable', message: 'The server could not be reached.' }
