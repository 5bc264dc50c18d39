import { newAnswer, verdict } from './chat.js'
import type { ChatSettings, ConversationAnswer, ConversationQuestion, ConversationSummary, QuestionFile } from './conversations-types.js'
import type { Saved } from './events.js'
import { EMPTY_MESSAGE, type LogState, type Message } from './fold-message.js'
import type { CacheStatus, Timing } from './transport.js'

/** A conversation's line in the server's JSON. */
export interface WireSummary {
  readonly id: string
  readonly title: string
  readonly created_at: string
  readonly updated_at: string
  readonly live: string | null
  readonly shared: string | null
}

/** A question in the server's JSON. */
export interface WireQuestion {
  readonly role: 'user'
  readonly id: string
  readonly parent: string | null
  readonly created_at: string
  readonly content: string
  readonly attachments: readonly Omit<QuestionFile, 'data'>[]
  readonly kind: 'ask' | 'continue'
}

/** An answer in the server's JSON; while it is open, its text is in the log at `location`. */
export interface WireAnswer extends Omit<Message, 'id' | 'state'> {
  readonly role: 'assistant'
  readonly id: string
  readonly parent: string | null
  readonly created_at: string
  readonly state: LogState
  readonly location: string | null
  readonly timing: Timing | null
  readonly cache: CacheStatus | null
  readonly produced_at: string | null
  readonly saved: Saved | null
  readonly matched?: string | null
}

/** A message of a conversation's tree. */
export type WireNode = WireQuestion | WireAnswer

/** A conversation in the server's JSON. */
export interface WireConversation extends WireSummary {
  readonly leaf: string | null
  readonly settings: ChatSettings
  readonly messages: readonly WireNode[]
}

/** What the server makes of a question. */
export interface WireAsked {
  readonly conversation: WireSummary
  readonly question: WireQuestion
  readonly answer: WireAnswer
}

/** A line of the list. */
export function summaryOf({ id, title, created_at, updated_at, live, shared }: WireSummary): ConversationSummary {
  return { id, title, createdAt: Date.parse(created_at), updatedAt: Date.parse(updated_at), live: live != null, shared: shared != null }
}

/** The question as a turn. */
export function questionOf({ id, content, attachments, kind, created_at }: WireQuestion): ConversationQuestion {
  return { role: 'user', id, text: content, files: attachments ?? [], kind: kind ?? 'ask', createdAt: Date.parse(created_at) }
}

/** The answer as a turn. Of an open one, nothing is known but where to read it. */
export function answerOf(node: WireAnswer): ConversationAnswer {
  const { id, created_at, location, timing, cache, produced_at, saved, matched, state } = node
  const known = {
    ...newAnswer(false, id),
    createdAt: Date.parse(created_at),
    location,
    cache: cache ?? null,
    timing: timing ?? null,
    producedAt: produced_at == null ? null : Date.parse(produced_at),
    saved: saved ?? null,
    matched: matched || null,
  }
  if (state === 'open') return known
  const message = messageOf(node)
  return { ...known, message, ...verdict(message, { type: 'ended' }) }
}

function messageOf(node: WireAnswer): Message {
  const message: Record<string, unknown> = {}
  for (const [name, empty] of Object.entries(EMPTY_MESSAGE)) message[name] = node[name as keyof WireAnswer] ?? empty
  return message as unknown as Message
}
