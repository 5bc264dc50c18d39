import { cacheOf, newAnswer, newId, promptOf, refusal, trouble, verdict, type Answer, type ChatStorage, type Turn } from './chat.js'
import { advance, settle } from './fold-message.js'
import { readLog, type Outcome } from './log-reader.js'
import type { WakeSource } from './patience.js'
import { createPublisher, type Publisher } from './publisher.js'
import type { Attachment, LogDescription, Transport } from './transport.js'

/** A chat as it stands; a new object for every change. */
export interface ChatSnapshot {
  readonly id: string
  readonly turns: readonly Turn[]
  /** Whether the last answer is still being written. */
  readonly busy: boolean
}

/** The server that a chat uses, and where the chat is stored. */
export interface ChatOptions {
  readonly transport: Transport
  readonly storage?: ChatStorage
  readonly wakes?: WakeSource
  /** Milliseconds between two notifications while text streams; read anew each time. */
  readonly pace?: () => number
  /** Called with each answer whose log has ended; what it resolves to is added to the answer. */
  readonly onEnded?: (answer: Answer) => Promise<Partial<Answer>>
}

// Headers come within two seconds of a claim, so a minute without them is a dead connection.
const ANSWER_TIMEOUT = 60_000
// A reload between two saves costs nothing but re-reading a second of the log.
const SAVE_INTERVAL = 1000

/** One chat as an external store: questions, answers, and the one answer that may be streaming, which is the last. */
export class ChatStore {
  readonly subscribe: Publisher['subscribe']
  readonly #options: ChatOptions
  readonly #publisher: Publisher
  #snapshot: ChatSnapshot = { id: newId(), turns: [], busy: false }
  /** The request or the log that the last answer is being read from; only the present one may change the answer. */
  #run: AbortController | null = null
  #saved = 0

  constructor(options: ChatOptions) {
    this.#options = options
    this.#publisher = createPublisher(options.pace)
    this.subscribe = this.#publisher.subscribe
    this.getSnapshot = this.#publisher.published(() => this.#snapshot)
    this.reload()
  }

  /** The state as it was published; the same object until the next time. */
  readonly getSnapshot: () => ChatSnapshot

  /** Asks a question; false when an answer is still streaming or there is nothing to ask. */
  readonly send = (text: string): boolean => {
    if (this.#snapshot.busy || !text.trim()) return false
    void this.#ask([...this.#snapshot.turns, { role: 'user', id: newId(), text }], newAnswer(false))
    return true
  }

  /** Asks for the last answer once more, past the cache. */
  readonly regenerate = (): void => this.#replaceLast(newAnswer(true))

  /** Mends the last answer: reads on where it broke off if the log is there, asks again if not. */
  readonly retry = (): void => {
    const last = this.#last()
    if (!last?.failure) return
    const { id, status, location, bypassCache } = last
    if (status === 'interrupted' && location) void this.#read({})
    // With its old id, the request joins the run that the first one may have started.
    else this.#replaceLast(newAnswer(bypassCache, status === 'interrupted' ? id : undefined))
  }

  /** Ends the streaming answer on the server, for every device, and keeps what has come. */
  readonly stop = async (): Promise<void> => {
    const last = this.#last()
    if (!this.#snapshot.busy || last?.stopping) return
    this.#change({ stopping: true })
    // Without an address there is nothing to stop yet: #read does it as soon as there is one.
    if (last?.location) await this.#stopLog(last.location)
  }

  /** Forgets this chat and begins an empty one. */
  readonly clear = (): void => {
    const location = this.#last()?.location
    // The answer will not be shown again, so its rest should not be generated.
    if (this.#snapshot.busy && location) void this.#stopped(location)
    this.#detach()
    this.#show([], 'now', newId())
  }

  /** Takes the chat from storage, as another tab may have left it, and reads its open answer on. */
  readonly reload = (): void => {
    const saved = this.#options.storage?.load()
    // This tab is reading the same answer and is ahead of what the other one stored.
    if (!saved || (this.#snapshot.busy && saved.id === this.#snapshot.id)) return
    this.#detach()
    this.#show(saved.turns, 'now', saved.id)
    if (!this.#snapshot.busy) return
    if (this.#last()?.location) void this.#read({ stopping: false })
    else this.#change(trouble('interrupted', { code: 'unsent', message: 'The page was closed before the answer began.' }))
  }

  /** Stores the chat now: call it when the page is about to go. */
  readonly save = (): void => {
    const { id, turns } = this.#snapshot
    this.#saved = Date.now()
    this.#options.storage?.save({ id, turns })
  }

  async #ask(turns: readonly Turn[], answer: Answer): Promise<void> {
    const run = (this.#run = new AbortController())
    this.#show([...turns, answer])
    // Cleared by the headers: a timeout of the fetch itself would cut the answer after a minute.
    const timer = setTimeout(() => run.abort(), ANSWER_TIMEOUT)
    let attachment: Attachment
    try {
      // A keyed request past the cache would stay under its key; unkeyed, its answer replaces the cached one.
      const headers: Record<string, string> = answer.bypassCache ? { 'Cache-Control': 'no-cache' } : { 'Idempotency-Key': answer.id }
      attachment = await this.#options.transport.ask({ messages: promptOf(turns) }, { headers, signal: run.signal })
    } catch (error) {
      if (this.#run === run) this.#end(this.#last()?.stopping ? { status: 'stopped' } : refusal(error))
      return
    } finally {
      clearTimeout(timer)
    }
    const { location, response } = attachment
    if (this.#run !== run) return
    await this.#read({ location, cache: cacheOf(response) }, run, response)
  }

  async #read(part: Partial<Answer>, run = new AbortController(), response?: Response): Promise<void> {
    this.#run = run
    this.#change({ status: 'streaming', failure: null, ...part })
    const { location, cursor, stopping } = this.#last()!
    // Asked to stop before there was an address.
    if (stopping) void this.#stopLog(location!)
    const outcome = await readLog({
      ...this.#options,
      location: location!,
      cursor,
      response,
      signal: run.signal,
      onEntries: (entries) => this.#change(advance(this.#last()!, entries), 'soon'),
      onConnection: (connection) => this.#change({ reconnecting: connection === 'reconnecting' }),
    })
    if (this.#run === run) this.#conclude(outcome)
  }

  #conclude(outcome: Outcome): void {
    const { message: seen } = this.#last()!
    const message = outcome.type === 'settled' ? settle(seen, outcome.log) : seen
    this.#end({ message, ...verdict(message, outcome) })
    const { id } = this.#last()!
    if (message.ending) void this.#options.onEnded?.(this.#last()!).then((more) => this.#change(more, 'now', id), () => undefined)
  }

  async #stopLog(location: string): Promise<void> {
    const run = this.#run
    const log = await this.#stopped(location)
    if (this.#run !== run) return
    this.#detach()
    // Others go on reading a log that is still open, or the server is slow to end it.
    if (log?.state === 'open') this.#end({ status: 'stopped' })
    else this.#conclude(log ? { type: 'settled', log } : { type: 'gave-up' })
  }

  /** Tells the server to stop an answer; null if it could not be told. */
  #stopped(location: string): Promise<LogDescription | null> {
    return this.#options.transport.stop(location).catch(() => null)
  }

  #replaceLast(answer: Answer): void {
    if (!this.#snapshot.busy && this.#last()) void this.#ask(this.#snapshot.turns.slice(0, -1), answer)
  }

  #detach(): void {
    this.#run?.abort()
    this.#run = null
  }

  #end(part: Partial<Answer>): void {
    this.#run = null
    this.#change({ ...part, stopping: false, reconnecting: false })
  }

  #last(turns = this.#snapshot.turns): Answer | undefined {
    const last = turns.at(-1)
    return last?.role === 'assistant' ? last : undefined
  }

  #change(part: Partial<Answer>, when: 'soon' | 'now' = 'now', id = this.#last()?.id): void {
    const turns = this.#snapshot.turns.map((turn) => (turn.role === 'assistant' && turn.id === id ? { ...turn, ...part } : turn))
    this.#show(turns, when)
  }

  #show(turns: readonly Turn[], when: 'soon' | 'now' = 'now', id = this.#snapshot.id): void {
    this.#snapshot = { id, turns, busy: this.#last(turns)?.status === 'streaming' }
    if (when === 'now' || Date.now() - this.#saved > SAVE_INTERVAL) this.save()
    this.#publisher[when]()
  }
}
