import { EMPTY_MESSAGE, fold, type LogEvent } from '@headwater/client'
import type {
  Branch,
  Conversation,
  ConversationAnswer,
  ConversationQuestion,
  ConversationSnapshot,
  ConversationTurn,
  QuestionFile,
  QueuedQuestion,
} from '@headwater/client/conversations'

type Node = ConversationTurn & { readonly parent: string | null }

let serial = 0
const newId = (kind: string) => `${kind}-${String(++serial).padStart(6, '0')}`

/** An answer that has ended, as a conversation holds it. */
export function answerOf(text: string, part: Partial<ConversationAnswer> = {}): ConversationAnswer {
  return {
    role: 'assistant',
    id: newId('answer'),
    status: 'finished',
    message: { ...EMPTY_MESSAGE, id: 'log', model: 'scripted', text, state: 'finished', ending: { type: 'finish', reason: 'stop' } },
    location: `http://server.test/api/streams/${newId('log')}`,
    cursor: null,
    cache: null,
    failure: null,
    bypassCache: false,
    stopping: false,
    reconnecting: false,
    createdAt: Date.now(),
    saved: null,
    matched: null,
    ...part,
  }
}

/** A question as a conversation holds it. */
export function questionOf(text: string, part: Partial<ConversationQuestion> = {}): ConversationQuestion {
  return { role: 'user', id: newId('question'), text, files: [], kind: 'ask', createdAt: Date.now(), ...part }
}

/** A conversation in memory: the tests write its answers. It behaves as `Conversation` promises, without a server. */
export class ScriptedConversation implements Conversation {
  readonly calls: string[] = []
  #nodes: Node[] = []
  #leaf: string | null = null
  #part: Partial<ConversationSnapshot> = {}
  #queue: readonly QueuedQuestion[] = []
  #snapshot!: ConversationSnapshot
  readonly #listeners = new Set<() => void>()

  constructor(
    readonly id: string,
    turns: readonly ConversationTurn[] = [],
  ) {
    for (const turn of turns) this.#add(turn)
    this.#publish()
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }
  readonly getSnapshot = (): ConversationSnapshot => this.#snapshot

  /** Changes what is not a turn, such as the connection. */
  show(part: Partial<ConversationSnapshot>): void {
    this.#part = { ...this.#part, ...part }
    this.#publish()
  }

  /** Adds events to the answer that is being written. */
  write(...events: readonly LogEvent[]): void {
    const answer = this.#running()
    if (!answer) throw new Error('nothing is being answered')
    let message = answer.message
    for (const event of events) message = fold(message, event)
    const { ending } = message
    const failure = ending?.type === 'error' ? { ...ending, retryAfter: ending.retry_after ?? null } : null
    this.change(answer.id, {
      message,
      failure,
      status: !ending ? 'streaming' : ending.type === 'finish' ? 'finished' : ending.type === 'stop' ? 'stopped' : 'failed',
    })
    if (ending) this.#next()
  }

  /** Changes an answer. */
  change(id: string, part: Partial<ConversationAnswer>): void {
    this.#nodes = this.#nodes.map((node) => (node.id === id && node.role === 'assistant' ? { ...node, ...part } : node))
    this.#publish()
  }

  readonly send = (text: string, files: readonly QuestionFile[] = []): boolean => {
    if (text.trim() === '' && files.length === 0) return false
    this.calls.push(`send ${text}`)
    if (this.#running() || this.#part.connection?.state === 'offline') this.#queue = [...this.#queue, { id: newId('queued'), text, files }]
    else this.#ask(text, files, this.#leaf)
    this.#publish()
    return true
  }
  readonly interrupt = (text: string, files: readonly QuestionFile[] = []): boolean => {
    this.calls.push(`interrupt ${text}`)
    this.#queue = [{ id: newId('queued'), text, files }, ...this.#queue]
    void this.stop()
    return true
  }
  readonly unqueue = (id: string): QueuedQuestion | null => {
    const found = this.#queue.find((queued) => queued.id === id) ?? null
    this.#queue = this.#queue.filter((queued) => queued.id !== id)
    this.#publish()
    return found
  }
  readonly sendNow = (id: string): void => {
    this.calls.push(`sendNow ${id}`)
    this.#queue = [...this.#queue].sort((a, b) => Number(b.id === id) - Number(a.id === id))
    void this.stop()
  }
  readonly stop = async (): Promise<void> => {
    this.calls.push('stop')
    if (this.#running()) this.write({ type: 'stop', by: 'client' })
  }
  readonly regenerate = (answer: string): void => {
    this.calls.push(`regenerate ${answer}`)
    this.#answer(this.#nodes.find(({ id }) => id === answer)!.parent, true)
    this.#publish()
  }
  readonly retry = (): void => {
    this.calls.push('retry')
    const last = this.#snapshot.turns.at(-1)
    if (last) this.regenerate(last.id)
  }
  readonly edit = (question: string, text: string): boolean => {
    this.calls.push(`edit ${text}`)
    const old = this.#nodes.find(({ id }) => id === question)
    if (old?.role !== 'user' || text.trim() === '') return false
    this.#ask(text, old.files, old.parent)
    this.#publish()
    return true
  }
  readonly choose = (turn: string): void => {
    this.calls.push(`choose ${turn}`)
    this.#leaf = turn
    for (let child; (child = this.#nodes.findLast(({ parent }) => parent === this.#leaf)); ) this.#leaf = child.id
    this.#publish()
  }
  readonly goOn = (): void => {
    this.calls.push('goOn')
    this.#ask('', [], this.#leaf, 'continue')
    this.#publish()
  }
  readonly configure = (): void => {}
  readonly share = async (): Promise<string> => 'http://server.test/shared?id=token'
  readonly unshare = async (): Promise<void> => {}
  readonly wake = (): void => void this.calls.push('wake')
  readonly close = (): void => {}

  #ask(text: string, files: readonly QuestionFile[], parent: string | null, kind: 'ask' | 'continue' = 'ask'): void {
    const question = { ...questionOf(text, { files, kind }), parent }
    this.#nodes = [...this.#nodes, question]
    this.#answer(question.id, false)
  }

  #answer(parent: string | null, bypassCache: boolean): void {
    const answer = answerOf('', { status: 'streaming', message: EMPTY_MESSAGE, bypassCache })
    this.#nodes = [...this.#nodes, { ...answer, parent }]
    this.#leaf = answer.id
  }

  #add(turn: ConversationTurn): void {
    this.#nodes = [...this.#nodes, { ...turn, parent: this.#leaf }]
    this.#leaf = turn.id
  }

  #running(): ConversationAnswer | undefined {
    const last = this.#snapshot.turns.at(-1)
    return last?.role === 'assistant' && last.status === 'streaming' ? last : undefined
  }

  #next(): void {
    const [first, ...rest] = this.#queue
    if (!first) return
    this.#queue = rest
    this.#ask(first.text, first.files, this.#leaf)
    this.#publish()
  }

  #publish(): void {
    const turns: Node[] = []
    for (let at = this.#leaf; at !== null; ) {
      const node: Node = this.#nodes.find(({ id }) => id === at)!
      turns.unshift(node)
      at = node.parent
    }
    const branches = new Map<string, Branch>()
    for (const { id, parent, role } of turns) {
      const all = this.#nodes.filter((node) => node.parent === parent && node.role === role)
      const index = all.findIndex((node) => node.id === id)
      if (all.length > 1) branches.set(id, { index, count: all.length, previous: all[index - 1]?.id ?? null, next: all[index + 1]?.id ?? null })
    }
    const last = turns.at(-1)
    this.#snapshot = {
      id: this.id,
      title: '',
      state: turns.length > 0 ? 'ready' : 'new',
      turns,
      branches,
      busy: last?.role === 'assistant' && last.status === 'streaming',
      queue: this.#queue,
      connection: { state: 'live', retryAt: null },
      settings: {},
      shared: null,
      problem: null,
      ...this.#part,
    }
    for (const listener of this.#listeners) listener()
  }
}
