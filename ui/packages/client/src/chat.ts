import type { Ending } from './events.js'
import { EMPTY_MESSAGE, type Message } from './fold-message.js'
import type { Outcome } from './log-reader.js'
import { ProblemError, type CacheReport, type PromptMessage, type Timing } from './transport.js'

/** What the person wrote. */
export interface Question {
  readonly role: 'user'
  readonly id: string
  readonly text: string
}

/** How an answer stands: `failed` is the server's verdict, `interrupted` means the verdict is unknown here. */
export type AnswerStatus = 'streaming' | 'finished' | 'stopped' | 'failed' | 'interrupted'

/** Why an answer broke off, and what a retry has to do about it. */
export interface Failure {
  readonly code: string
  readonly message: string
  /** Seconds to wait, if the server says so. */
  readonly retryAfter: number | null
  /** `reattach` reads the same log on, `repeat` sends the same request again, `ask-again` makes a new one. */
  readonly remedy: 'reattach' | 'repeat' | 'ask-again'
}

/** What the model wrote: text and offset are one value, so that storing it can never tear them apart. */
export interface Answer {
  readonly role: 'assistant'
  readonly id: string
  readonly status: AnswerStatus
  readonly message: Message
  readonly location: string | null
  readonly cursor: string | null
  readonly cache: CacheReport['status'] | null
  /** When a cached answer was produced, in milliseconds since 1970. */
  readonly producedAt: number | null
  readonly timing: Timing | null
  readonly failure: Failure | null
  readonly bypassCache: boolean
  readonly stopping: boolean
  readonly reconnecting: boolean
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
    producedAt: null,
    timing: null,
    failure: null,
    bypassCache,
    stopping: false,
    reconnecting: false,
  }
}

/** A random name; `crypto.randomUUID` is missing on plain-http addresses other than localhost. */
export function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** The prompt of an answer: all turns before it, partial answers included, empty ones not. */
export function promptOf(turns: readonly Turn[], answer: Answer): PromptMessage[] {
  return turns.slice(0, turns.indexOf(answer)).flatMap((turn): PromptMessage[] => {
    if (turn.role === 'user') return [{ role: 'user', content: turn.text }]
    return turn.message.text === '' ? [] : [{ role: 'assistant', content: turn.message.text }]
  })
}

/** The fields of an answer that the end of reading decides. */
export function verdict(message: Message, outcome: Outcome): Pick<Answer, 'status' | 'failure'> {
  switch (outcome.type) {
    case 'ended':
    case 'settled':
      return verdictOf(message.ending)
    case 'gone':
      return interrupted('gone', 'The server no longer has this answer, so the rest of it cannot be fetched.', 'ask-again')
    case 'refused':
      return interrupted(outcome.problem.code, outcome.problem.message, 'reattach')
    case 'gave-up':
      return interrupted('unreachable', `The connection was lost and ${outcome.attempts} attempts to get it back failed.`, 'reattach')
    case 'closed':
      return { status: 'stopped', failure: null }
    default:
      return unreachable(outcome)
  }
}

/** The fields of an answer whose question could not be sent. */
export function refusal(error: unknown): Pick<Answer, 'status' | 'failure'> {
  if (!(error instanceof ProblemError)) return interrupted('unreachable', 'The server could not be reached.', 'repeat')
  const { code, message, retryAfter } = error
  return { status: 'failed', failure: { code, message, retryAfter, remedy: 'ask-again' } }
}

/** An answer that broke off without a verdict. */
export function interrupted(code: string, message: string, remedy: Failure['remedy']): Pick<Answer, 'status' | 'failure'> {
  return { status: 'interrupted', failure: { code, message, retryAfter: null, remedy } }
}

function verdictOf(ending: Ending | null): Pick<Answer, 'status' | 'failure'> {
  if (ending === null) return interrupted('unsealed', 'The answer broke off without an ending.', 'reattach')
  if (ending.type === 'finish') return { status: 'finished', failure: null }
  if (ending.type === 'stop') return { status: 'stopped', failure: null }
  const { code, message } = ending
  return { status: 'failed', failure: { code, message, retryAfter: ending.retry_after ?? null, remedy: 'ask-again' } }
}

function unreachable(value: never): never {
  throw new Error(`unhandled ${JSON.stringify(value)}`)
}
