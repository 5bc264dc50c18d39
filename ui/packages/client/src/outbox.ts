import type { Failure } from './chat.js'
import type { QuestionFile } from './conversations-types.js'
import type { Shelf } from './shelf.js'

/** A question that the server does not have yet. Its ids are chosen here, so that sending it twice is asking once. */
export interface Pending {
  /** The question's id; an `again`, which has no question of its own, goes by its answer's. */
  readonly id: string
  readonly conversation: string
  readonly answer: string
  /** `again` asks the question `parent` once more. */
  readonly kind: 'ask' | 'continue' | 'again'
  readonly parent: string | null
  /** Whether it goes to the end of the branch of `parent`, however far that has grown; an edited question does not. */
  readonly follows: boolean
  /** Whether it makes its conversation, which was new when it was asked. */
  readonly makes: boolean
  readonly text: string
  readonly files: readonly QuestionFile[]
  /** Ms since 1970. */
  readonly createdAt: number
  /** The place in the queue: the smallest goes first. */
  readonly order: number
  /** Why it is not sent until the person says so: refused, or stopped before it was sent. */
  readonly held: Failure | null
}

/** The questions that wait for the server, of all conversations and all tabs of this browser. */
export interface Outbox {
  /** Those of one conversation, in the order in which they are to be sent. */
  of(conversation: string): Pending[]
  /** False when the browser's storage does not take it: it is then lost with the page. */
  put(pending: Pending): boolean
  drop(pending: Pick<Pending, 'id' | 'conversation'>): void
  /** The conversations that have questions here, of at least this age in ms. */
  conversations(age?: number): string[]
}

const BOX = 'ask:'
/** Why a question is held whose files the storage did not take. */
export const NO_FILES = { code: 'files', message: 'The files of this question were too large for this browser to keep. Ask it again with them.', retryAfter: null }

/** Makes an outbox on a shelf. */
export function createOutbox(shelf: Shelf): Outbox {
  const name = ({ conversation, id }: Pick<Pending, 'id' | 'conversation'>) => `${BOX}${conversation}:${id}`
  const read = (conversation: string) =>
    shelf.names(BOX + conversation).flatMap((key) => {
      const pending = shelf.get<Pending>(key)
      return typeof pending?.id === 'string' && typeof pending.text === 'string' ? [pending as Pending] : []
    })
  return {
    of: (conversation) =>
      read(`${conversation}:`)
        .sort((one, other) => one.order - other.order || one.createdAt - other.createdAt),
    put(pending) {
      // A picture may be too large for the storage where its question is not.
      const words = { ...pending, held: NO_FILES, files: pending.files.map((file) => ({ ...file, data: undefined })) }
      return shelf.put(name(pending), pending, pending.files.length > 0 ? words : undefined)
    },
    drop: (pending) => shelf.drop(name(pending)),
    conversations(age = 0) {
      const old = read('').filter(({ createdAt }) => Date.now() - createdAt >= age)
      return [...new Set(old.map(({ conversation }) => conversation))]
    },
  }
}
