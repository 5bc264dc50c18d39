import type { Answer, Failure, Question } from './chat.js'
import type { Saved } from './events.js'

/** How a chat asks; what is left out is the server's choice. */
export interface ChatSettings {
  readonly model?: string
  readonly system?: string
  readonly temperature?: number
  readonly top_p?: number
  readonly max_tokens?: number
}

/** A file that goes with a question: `data` is in base64, and missing once the server has it. */
export interface QuestionFile {
  readonly id?: string
  readonly name: string
  /** The MIME type: `image/…`, or a text type. */
  readonly type: string
  /** Bytes. */
  readonly size: number
  readonly data?: string
}

/** A question of a conversation. */
export interface ConversationQuestion extends Question {
  readonly files: readonly QuestionFile[]
  /** `continue` asks for the rest of an answer that was cut by its length limit. */
  readonly kind: 'ask' | 'continue'
  readonly createdAt: number
}

/** An answer of a conversation, with what its cache entry has saved. */
export interface ConversationAnswer extends Answer {
  readonly createdAt: number
  readonly saved: Saved | null
  /** The question that a stored answer was given to, if it had other words. */
  readonly matched: string | null
}

/** One turn of the branch that is shown. */
export type ConversationTurn = ConversationQuestion | ConversationAnswer

/** Where a turn stands among its alternatives: `index` from 0, and the turns to flip to. */
export interface Branch {
  readonly index: number
  readonly count: number
  readonly previous: string | null
  readonly next: string | null
}

/** A question that is kept here until the server has taken it. */
export interface QueuedQuestion {
  readonly id: string
  readonly text: string
  readonly files: readonly QuestionFile[]
}

/** How the page stands to the server. */
export interface Connection {
  readonly state: 'live' | 'reconnecting' | 'offline'
  /** When the next attempt is due, in ms since 1970; null if none is. */
  readonly retryAt: number | null
}

/** One conversation as it stands; a new object for every change. */
export interface ConversationSnapshot {
  readonly id: string
  readonly title: string
  /** `new` is not on the server yet; `missing` was deleted or never was. */
  readonly state: 'new' | 'loading' | 'ready' | 'missing'
  readonly turns: readonly ConversationTurn[]
  /** The turns that have alternatives, by id. */
  readonly branches: ReadonlyMap<string, Branch>
  /** Whether the last answer is still being written. */
  readonly busy: boolean
  readonly queue: readonly QueuedQuestion[]
  readonly connection: Connection
  readonly settings: ChatSettings
  /** The address of the live, read-only link; null if there is none. */
  readonly shared: string | null
  /** Why the last change was refused. */
  readonly problem: Failure | null
}

/** One conversation as an external store. Nothing that it does waits for the network before it shows. */
export interface Conversation {
  readonly id: string
  readonly subscribe: (listener: () => void) => () => void
  readonly getSnapshot: () => ConversationSnapshot
  /** Asks; queued while an answer runs or the server is away. False when there is nothing to ask. */
  readonly send: (text: string, files?: readonly QuestionFile[]) => boolean
  /** Stops the running answer and asks this, ahead of the queue. */
  readonly interrupt: (text: string, files?: readonly QuestionFile[]) => boolean
  /** Takes a question out of the queue, for the composer to edit; null if it has gone. */
  readonly unqueue: (id: string) => QueuedQuestion | null
  /** Stops the running answer so that this queued question goes first. */
  readonly sendNow: (id: string) => void
  readonly stop: () => Promise<void>
  /** Asks once more, past the cache; the old answer stays as a branch. */
  readonly regenerate: (answer: string) => void
  /** Reads the last answer on, or asks again where there is none. */
  readonly retry: () => void
  /** Asks a question in other words; the old one and all that follows stay as a branch. */
  readonly edit: (question: string, text: string) => boolean
  /** Shows the branch of this turn. */
  readonly choose: (turn: string) => void
  /** Asks for the rest of the last answer, which its length limit cut. */
  readonly goOn: () => void
  readonly configure: (settings: ChatSettings) => void
  readonly share: () => Promise<string>
  readonly unshare: () => Promise<void>
  /** Tries again now what waits for the server. */
  readonly wake: () => void
  /** Stops reading here; the answer goes on. */
  readonly close: () => void
}

/** A line of the list. */
export interface ConversationSummary {
  readonly id: string
  readonly title: string
  readonly createdAt: number
  readonly updatedAt: number
  readonly live: boolean
  readonly shared: boolean
}

/** A conversation that a search has found. */
export interface ConversationMatch extends ConversationSummary {
  readonly message: string | null
  readonly excerpt: string
}

/** What a search has found, newest first; `complete` is false when its time was not enough for all conversations. */
export interface SearchResult {
  readonly matches: readonly ConversationMatch[]
  readonly complete: boolean
}

/** The list as it stands, newest first. */
export interface ConversationsSnapshot {
  readonly state: 'loading' | 'ready'
  readonly items: readonly ConversationSummary[]
  readonly more: boolean
  /** Deleted here and still to be undone. */
  readonly removed: readonly ConversationSummary[]
  readonly connection: Connection
}

/** What the cache has done for this visitor. */
export interface CacheFigures {
  readonly answers: number
  readonly hits: number
  readonly joins: number
  readonly saved: Saved
  readonly entries: number
}

/** All conversations of a visitor as an external store. */
export interface Conversations {
  readonly subscribe: (listener: () => void) => () => void
  readonly getSnapshot: () => ConversationsSnapshot
  /** The conversation of this id: the same object for the same id. */
  readonly open: (id: string) => Conversation
  /** A new one, which the server knows from its first question on; it takes the draft and the settings of `from`, which never began. */
  readonly create: (from?: string) => Conversation
  /** A shared one by its token: read-only, followed while its answer is written. */
  readonly openShared: (token: string) => Conversation
  readonly loadMore: () => Promise<void>
  readonly search: (words: string, signal: AbortSignal) => Promise<SearchResult>
  readonly rename: (id: string, title: string) => void
  /** Hides it at once; the server deletes it after `UNDO` ms, or when the page goes. */
  readonly remove: (id: string) => void
  readonly restore: (id: string) => void
  readonly exportAddress: (id: string, format: 'markdown' | 'json') => string
  readonly fileAddress: (id: string, file: string) => string
  /** Takes in an exported file; resolves with the new conversations. Rejects with a `ProblemError`. */
  readonly importFile: (json: string) => Promise<readonly ConversationSummary[]>
  readonly cache: () => Promise<CacheFigures>
  readonly clearCache: () => Promise<void>
  /** A one-time address that makes a second device this visitor. */
  readonly joinAddress: () => Promise<{ readonly url: string; readonly expiresAt: number }>
  /** Whether this browser may keep copies of what was read last, for a visit without the server; a no forgets them. */
  readonly keepCopies: (may: boolean) => void
  /** What was typed and not sent; kept per chat, also over a reload. */
  readonly draft: (id: string) => string
  readonly keepDraft: (id: string, text: string) => void
  readonly wake: () => void
}
