import { verdict } from './chat.js'
import type { ConversationState } from './conversation-state.js'
import { advance, settle } from './fold-message.js'
import type { Link } from './link.js'
import { readLog, type Outcome } from './log-reader.js'
import type { LogDescription, Transport } from './transport.js'

/** What a reader tells its conversation. */
export interface ReaderListener {
  /** An answer has ended here; called together with its change. */
  readonly onEnded: () => void
  /** The log has gone, or may not be read: take what the conversation has of it. */
  readonly onGone: () => Promise<void>
}

/** Reads the one answer of a conversation that is being written. */
export class AnswerReader {
  readonly #state: ConversationState
  readonly #transport: Transport
  readonly #link: Link
  readonly #listener: ReaderListener
  #run: { readonly id: string; readonly control: AbortController } | null = null

  constructor(state: ConversationState, { transport, link }: { readonly transport: Transport; readonly link: Link }, listener: ReaderListener) {
    this.#state = state
    this.#transport = transport
    this.#link = link
    this.#listener = listener
  }

  /** The answer that is being read. */
  get id(): string | null {
    return this.#run?.id ?? null
  }

  /** Reads an answer from where it is known, to its ending. */
  follow(id: string): void {
    if (this.#run?.id === id) return
    this.leave()
    const run = (this.#run = { id, control: new AbortController() })
    const state = this.#state
    const { cursor, location } = state.answer(id)!
    state.change(id, { status: 'streaming', failure: null })
    void readLog({
      transport: this.#transport,
      location: location!,
      cursor,
      signal: run.control.signal,
      wakes: this.#link.wakes,
      wait: () => this.#link.failed(),
      onEntries: (entries) => state.change(id, advance(state.answer(id)!, entries), 'soon'),
      onConnection: (connection) => {
        if (connection === 'live') this.#link.ok()
        state.change(id, { reconnecting: connection === 'reconnecting' })
      },
    }).then((outcome) => {
      if (this.#run === run) void this.#conclude(id, outcome)
    })
  }

  /** Stops reading; the answer goes on. */
  leave(): void {
    this.#run?.control.abort()
    this.#run = null
  }

  /** Ends the answer on the server, for every device, and keeps what has come. */
  async stop(): Promise<void> {
    const run = this.#run
    if (!run) return
    const state = this.#state
    const log = await this.#transport.stop(state.answer(run.id)!.location!).catch(() => null)
    if (this.#run !== run) return
    if (!log) return state.change(run.id, { stopping: false })
    run.control.abort()
    if (log.state !== 'open') return this.#conclude(run.id, { type: 'settled', log })
    // Others go on reading a log that is still open, or the server is slow to end it.
    state.together(() => {
      this.#run = null
      state.change(run.id, { status: 'stopped', stopping: false, reconnecting: false })
      this.#listener.onEnded()
    })
  }

  async #conclude(id: string, outcome: Outcome): Promise<void> {
    const state = this.#state
    const run = this.#run
    // The server keeps a copy of an answer whose log has gone.
    if (outcome.type === 'gone' || outcome.type === 'refused') await this.#listener.onGone()
    if (this.#run !== run) return
    const answer = state.answer(id)
    if (!answer) return this.leave()
    const { message: seen, location } = answer
    const settled = outcome.type === 'settled'
    const message = settled ? settle(seen, outcome.log) : seen
    state.together(() => {
      this.#run = null
      state.change(id, { message, ...verdict(message, outcome), stopping: false, reconnecting: false, ...(settled && { timing: outcome.log.timing }) })
      this.#listener.onEnded()
    })
    if (outcome.type !== 'ended' || location === null) return
    const log = await this.#transport.get<LogDescription>(location).catch(() => null)
    if (log) state.change(id, { timing: log.timing })
  }
}
