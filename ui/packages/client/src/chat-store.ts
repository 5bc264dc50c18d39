import { interrupted, newAnswer, newId, promptOf, refusal, verdict, type Answer, type ChatStorage, type Turn } from './chat.js'
import { createLiveLog, type LiveLog } from './live-log.js'
import type { WakeSource } from './patience.js'
import { createPublisher, type Publisher } from './publisher.js'
import type { Attachment, Transport } from './transport.js'

/** A chat as it stands; a new object for every change. */
export interface ChatSnapshot {
  readonly id: string
  readonly turns: readonly Turn[]
  readonly busy: boolean
}

/** The server that a chat uses, and where the chat is stored. */
export interface ChatOptions {
  readonly transport: Transport
  readonly storage?: ChatStorage
  readonly wakes?: WakeSource
  /** Milliseconds between two notifications while text streams; read anew each time. */
  readonly pace?: () => number
}

/** The request or the log that the last answer is being read from. */
interface Run {
  readonly abort: AbortController
  log: LiveLog | null
}

// Headers come within two seconds of a claim, so a minute without them is a dead connection.
const ANSWER_TIMEOUT = 60_000
// A reload between two saves costs nothing but re-reading a second of the log.
const SAVE_INTERVAL = 1000

/** One chat as an external store: questions, answers, and the one answer that may be streaming. */
export class ChatStore {
  readonly subscribe: Publisher['subscribe']
  readonly #options: ChatOptions
  readonly #publisher: Publisher
  #snapshot: ChatSnapshot = { id: newId(), turns: [], busy: false }
  #run: Run | null = null
  #saved = 0

  constructor(options: ChatOptions) {
    this.#options = options
    this.#publisher = createPublisher(options.pace)
    this.subscribe = this.#publisher.subscribe
    this.reload()
  }

  /** The current state; the same object until something changes. */
  readonly getSnapshot = (): ChatSnapshot => this.#snapshot

  /** Asks a question; false when an answer is still streaming or there is nothing to ask. */
  readonly send = (text: string): boolean => {
    if (this.#snapshot.busy || text.trim() === '') return false
    const answer = newAnswer(false)
    this.#show([...this.#snapshot.turns, { role: 'user', id: newId(), text }, answer])
    void this.#ask(answer)
    return true
  }

  /** Asks for the last answer once more, past the cache. */
  readonly regenerate = (): void => this.#replaceLast(newAnswer(true))

  /** Mends the last answer: reads on where it broke off if the log is there, asks again if not. */
  readonly retry = (): void => {
    const last = this.#last()
    if (!last?.failure || this.#snapshot.busy) return
    const { remedy } = last.failure
    if (remedy === 'reattach' && last.location !== null) {
      this.#change(last.id, { status: 'streaming', failure: null })
      void this.#follow(last.id)
    } else this.#replaceLast(newAnswer(last.bypassCache, remedy === 'repeat' ? last.id : newId()))
  }

  /** Ends the streaming answer on the server, for every device, and keeps what has come. */
  readonly stop = async (): Promise<void> => {
    const last = this.#last()
    if (last?.status !== 'streaming' || last.stopping) return
    this.#change(last.id, { stopping: true })
    // Without an address there is nothing to stop yet: #ask does it as soon as there is one.
    if (last.location !== null) await this.#stopLog(last.id, last.location)
  }

  /** Forgets this chat and begins an empty one. */
  readonly clear = (): void => {
    const last = this.#last()
    // The answer will not be shown again, so its rest should not be generated.
    if (last?.status === 'streaming' && last.location) void this.#options.transport.stop(last.location).catch(() => undefined)
    this.#detach()
    this.#show([], newId())
  }

  /** Takes the chat from storage, as another tab may have left it, and reads its open answer on. */
  readonly reload = (): void => {
    const saved = this.#options.storage?.load()
    if (!saved) return
    // This tab is reading the same answer and is ahead of what the other one stored.
    if (this.#snapshot.busy && saved.id === this.#snapshot.id) return
    this.#detach()
    this.#snapshot = { id: saved.id, turns: saved.turns, busy: false }
    const last = this.#last()
    if (last?.status !== 'streaming') return this.#publisher.now()
    if (last.location !== null) {
      this.#change(last.id, { stopping: false })
      void this.#follow(last.id)
    } else this.#change(last.id, interrupted('unsent', 'The page was closed before the answer began.', 'repeat'))
  }

  /** Stores the chat now: call it when the page is about to go. */
  readonly save = (): void => {
    this.#saved = Date.now()
    this.#options.storage?.save({ id: this.#snapshot.id, turns: this.#snapshot.turns })
  }

  async #ask(answer: Answer): Promise<void> {
    const { id, bypassCache } = answer
    const run = (this.#run = { abort: new AbortController(), log: null })
    const { signal } = run.abort
    // Cleared by the headers: a timeout of the fetch itself would cut the answer after a minute.
    const timer = setTimeout(() => run.abort.abort(), ANSWER_TIMEOUT)
    let attachment: Attachment
    try {
      const prompt = { messages: promptOf(this.#snapshot.turns, answer) }
      // A keyed request past the cache would stay under its key; unkeyed, its answer replaces the cached one.
      const key = bypassCache ? {} : { idempotencyKey: id }
      attachment = await this.#options.transport.ask(prompt, { signal, bypassCache, ...key })
    } catch (error) {
      if (this.#run !== run) return
      this.#run = null
      this.#change(id, this.#answer(id)?.stopping ? { status: 'stopped', stopping: false } : refusal(error))
      return
    } finally {
      clearTimeout(timer)
    }
    const { location, cache, response } = attachment
    if (this.#run !== run) return void this.#abandon(attachment)
    const producedAt = cache?.status === 'hit' ? Date.now() - (cache.age ?? 0) * 1000 : null
    this.#change(id, { location, cache: cache?.status ?? null, producedAt })
    if (this.#answer(id)?.stopping) void this.#stopLog(id, location)
    await this.#follow(id, response)
  }

  async #follow(id: string, response?: Response): Promise<void> {
    const known = this.#answer(id)
    if (known?.location == null) return
    const { transport, wakes, pace } = this.#options
    const log = createLiveLog({ transport, location: known.location, response, known, wakes, pace })
    const run = (this.#run = { abort: new AbortController(), log })
    log.subscribe(() => {
      if (this.#run === run) this.#copy(id, log)
    })
    const outcome = await log.open()
    if (this.#run !== run || outcome.type === 'closed') return
    this.#conclude(id, outcome)
  }

  #conclude(id: string, outcome: Parameters<typeof verdict>[1]): void {
    const answer = this.#answer(id)
    if (!answer) return
    this.#run = null
    const timing = outcome.type === 'settled' ? outcome.log.timing : answer.timing
    this.#change(id, { ...verdict(answer.message, outcome), timing, stopping: false, reconnecting: false })
    if (outcome.type === 'ended') void this.#measure(id, answer.location)
  }

  #copy(id: string, log: LiveLog): void {
    const { message, cursor, connection } = log.getSnapshot()
    this.#change(id, { message, cursor, reconnecting: connection === 'reconnecting' }, false)
  }

  /** Fetches the server's own figures; an answer without them is still an answer. */
  async #measure(id: string, location: string | null): Promise<void> {
    if (location === null) return
    const log = await this.#options.transport.describe(location).catch(() => null)
    const message = this.#answer(id)?.message
    if (log && message) this.#change(id, { timing: log.timing, message: { ...message, usage: message.usage ?? log.usage } })
  }

  async #stopLog(id: string, location: string): Promise<void> {
    const reply = await this.#options.transport.stop(location).catch(() => null)
    const run = this.#run
    if (this.#answer(id)?.status !== 'streaming' || !run) return
    if (reply?.log && !reply.detached && reply.log.state !== 'open') {
      run.log?.settle(reply.log)
      this.#conclude(id, { type: 'settled', log: reply.log })
      return
    }
    // The last twentieth of a second may not have been published yet.
    if (run.log) this.#copy(id, run.log)
    this.#detach()
    const unconfirmed = 'The server could not be told to stop, so it may still be writing this answer.'
    const end = reply ? ({ status: 'stopped', failure: null } as const) : interrupted('stop_failed', unconfirmed, 'reattach')
    this.#change(id, { ...end, stopping: false, reconnecting: false })
  }

  #abandon({ location, response }: Attachment): Promise<unknown> {
    return Promise.allSettled([this.#options.transport.stop(location), response.body?.cancel()])
  }

  #replaceLast(answer: Answer): void {
    if (this.#snapshot.busy || !this.#last()) return
    this.#show([...this.#snapshot.turns.slice(0, -1), answer])
    void this.#ask(answer)
  }

  #detach(): void {
    this.#run?.abort.abort()
    this.#run?.log?.close()
    this.#run = null
  }

  #last(): Answer | undefined {
    const last = this.#snapshot.turns.at(-1)
    return last?.role === 'assistant' ? last : undefined
  }

  #answer(id: string): Answer | undefined {
    return this.#snapshot.turns.find((turn): turn is Answer => turn.role === 'assistant' && turn.id === id)
  }

  #change(id: string, part: Partial<Answer>, save = true): void {
    const turns = this.#snapshot.turns.map((turn) => (turn.id === id && turn.role === 'assistant' ? { ...turn, ...part } : turn))
    this.#show(turns, this.#snapshot.id, save)
  }

  #show(turns: readonly Turn[], id = this.#snapshot.id, save = true): void {
    const last = turns.at(-1)
    this.#snapshot = { id, turns, busy: last?.role === 'assistant' && last.status === 'streaming' }
    if (save || Date.now() - this.#saved > SAVE_INTERVAL) this.save()
    this.#publisher.now()
  }
}
