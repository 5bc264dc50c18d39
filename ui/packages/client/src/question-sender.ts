import { failureOf, newAnswer, newId, trouble, type Failure } from './chat.js'
import type { ConversationState } from './conversation-state.js'
import type { ConversationAnswer, QuestionFile, QueuedQuestion } from './conversations-types.js'
import type { Link } from './link.js'
import { NO_FILES, type Outbox, type Pending } from './outbox.js'
import { delay, type WakeSource } from './patience.js'
import type { Requests } from './requests.js'
import { titleOf } from './title.js'
import { ProblemError } from './transport.js'
import type { WireAsked } from './wire.js'

/** What a sender tells its conversation, and asks of it. */
export interface SenderListener {
  /** Whether nothing else is being answered, so that the next question may go. */
  readonly free: () => boolean
  /** The server has taken a question; called together with its change. */
  readonly onTaken: (asked: WireAsked, pending: Pending) => void
  /** Another answer runs on the server. */
  readonly onBusy: () => Promise<void>
  /** A question is held: no other tab is to send it either. */
  readonly onHeld: () => void
}

// A question of another tab is left to that tab, unless the tab has gone.
const FOREIGN = 5000
// A conversation that another question keeps busy is asked again after this, if its log does not say when.
const BUSY = 1000
// Seconds to wait where a server that is asked too much does not say how long.
const LIMITED = 2
// Nothing that happens here makes such a server take more.
const asleep: WakeSource = () => () => undefined

const UNSENT = { code: 'unsent', message: 'This question was not sent.', retryAfter: null }
const UNKEPT = {
  code: 'storage',
  message: 'This browser has no room to keep the question. Leave the page open until it is sent.',
  retryAfter: null,
}

/** Sends the questions of a conversation, one after the other; each is in the outbox until the server has it. */
export class QuestionSender {
  readonly #state: ConversationState
  readonly #requests: Requests
  readonly #link: Link
  readonly #outbox: Outbox
  readonly #listener: SenderListener
  #pending: readonly Pending[]
  /** The questions of other tabs that were seen to arrive, and when. */
  readonly #foreign = new Map<string, number>()
  #sending: { readonly pending: Pending; readonly control: AbortController } | null = null
  #notBefore = 0
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(
    state: ConversationState,
    { requests, link, outbox }: { readonly requests: Requests; readonly link: Link; readonly outbox: Outbox },
    listener: SenderListener,
  ) {
    this.#state = state
    this.#requests = requests
    this.#link = link
    this.#outbox = outbox
    this.#listener = listener
    this.#pending = outbox.of(state.id)
  }

  /** The answer whose question is on its way. */
  get answer(): string | null {
    return this.#sending?.pending.answer ?? null
  }

  /** The questions that are not shown as turns. */
  get queue(): QueuedQuestion[] {
    return this.#pending.flatMap(({ id, answer, text, files }) => (this.#state.tree.has(answer) ? [] : [{ id, text, files }]))
  }

  /** The order that goes ahead of all others. */
  get front(): number {
    return Math.min(Date.now(), ...this.#pending.map(({ order }) => order)) - 1
  }

  /** The question of a turn that the server does not have, and that is not on its way. */
  held(turn: string): Pending | undefined {
    return this.#pending.find(({ id, answer, held }) => held && (id === turn || answer === turn))
  }

  /** A question that waits. */
  queued(id: string): Pending | undefined {
    return this.#pending.find((pending) => pending.id === id && !this.#state.tree.has(pending.answer))
  }

  /** Writes a question to the outbox, before anything else is done with it. */
  keep(pending: Pending): void {
    const kept = this.#outbox.put(pending)
    this.#pending = this.#outbox.of(this.#state.id)
    this.#state.set({ problem: kept ? null : UNKEPT })
  }

  /** Gives a question up. */
  forget(pending: Pending): void {
    this.#outbox.drop(pending)
    this.#pending = this.#pending.filter(({ id }) => id !== pending.id)
    this.#retract(pending)
    this.#state.changed()
  }

  /** Sends a question that was held. */
  release(pending: Pending): void {
    this.#retract(pending)
    // A refusal may be remembered under the answer's id; what was stopped on its way may have arrived under it.
    const answer = pending.held?.code === UNSENT.code ? pending.answer : newId()
    this.keep({ ...pending, ...(pending.kind === 'again' ? {} : { answer }), held: null, order: this.front })
    this.pump()
  }

  /** Stops what is on its way; a question that cannot arrive is held back. */
  stop(): void {
    const { pending } = this.#sending!
    const { reconnecting, failure } = this.#state.answer(pending.answer) ?? {}
    if (reconnecting || failure) this.#hold(pending, UNSENT)
  }

  /** Gives all questions up: the conversation is deleted. */
  forgetAll(): void {
    this.#sending?.control.abort()
    this.#sending = null
    for (const pending of this.#pending) this.forget(pending)
  }

  /** Ends all waiting; what is on its way goes on. */
  rest(): void {
    clearTimeout(this.#timer)
  }

  /** Looks into the outbox, which another tab has changed; returns whether a question has left it. */
  look(): boolean {
    const before = this.#pending
    this.#pending = this.#outbox.of(this.#state.id)
    for (const { id } of this.#pending) if (before.every((pending) => pending.id !== id)) this.#foreign.set(id, Date.now())
    const sent = this.#pending.find(({ id }) => id === this.#sending?.pending.id)
    if (sent?.held) this.#hold(sent, sent.held)
    this.#state.changed()
    return before.some(({ id }) => this.#pending.every((pending) => pending.id !== id))
  }

  /** Brings tree and outbox together, after the server's turns have come in. */
  reconcile(): void {
    const { tree } = this.#state
    this.#pending = this.#outbox.of(this.#state.id)
    for (const pending of this.#pending) {
      const known = tree.get(pending.answer)?.known
      // A question that another tab has sent is in the conversation now.
      if (known !== undefined && known !== 'here') this.forget(pending)
      else if (known === undefined && pending.held) this.#show(pending)
    }
    const waiting = new Set([...this.#pending, ...(this.#sending ? [this.#sending.pending] : [])].flatMap(({ id, answer }) => [id, answer]))
    for (const [id, { known }] of tree) if (known === 'here' && !waiting.has(id)) tree.delete(id)
  }

  /** Sends the next question, if nothing speaks against it. `now` says that the server is known to be free. */
  pump(now = false): void {
    if (now) this.#notBefore = 0
    clearTimeout(this.#timer)
    if (this.#sending || !this.#listener.free()) return
    const next = this.#pending.find(({ held }) => !held)
    if (!next) return
    const due = Math.max(this.#notBefore, (this.#foreign.get(next.id) ?? -FOREIGN) + FOREIGN)
    if (due > Date.now()) this.#timer = setTimeout(() => this.pump(), due - Date.now())
    else void this.#post(this.#show(next))
  }

  /** Shows a question with an answer that has not begun, or says why not. */
  #show(queued: Pending): Pending {
    const { tree } = this.#state
    const { id, answer, kind, text, files, createdAt, held } = queued
    const pending = { ...queued, parent: this.#placeOf(queued) }
    if (pending.parent !== queued.parent) this.keep(pending)
    const { parent } = pending
    if (kind !== 'again' && !tree.has(id)) tree.set(id, { turn: { role: 'user', id, text, files, kind, createdAt }, parent, known: 'here' })
    const turn: ConversationAnswer = { ...newAnswer(kind === 'again', answer), createdAt, saved: null, matched: null, ...(held && trouble('failed', held)) }
    tree.set(answer, { turn, parent: kind === 'again' ? parent : id, known: 'here' })
    this.#state.leaf = answer
    if (!this.#state.head.title) this.#state.set({ title: titleOf(text) })
    this.#state.grown()
    return pending
  }

  /** The answer that a question follows: the last one of its branch that the server has. */
  #placeOf({ answer, parent, follows }: Pending): string | null {
    const { tree } = this.#state
    if (!follows || tree.has(answer)) return parent
    const end = this.#state.endOf(parent !== null && tree.has(parent) ? parent : null)
    for (let id = end; id !== null; ) {
      const { turn, known, parent: above } = tree.get(id)!
      // A question whose last answer was not even asked for has an earlier one.
      const found = turn.role === 'assistant' ? id : this.#state.answersTo(id).findLast((other) => tree.get(other)!.known !== 'here')
      if (known !== 'here' && found !== undefined) return found
      id = above
    }
    return null
  }

  async #post(pending: Pending): Promise<void> {
    const control = new AbortController()
    this.#sending = { pending, control }
    this.#state.changed()
    while (!control.signal.aborted) {
      try {
        const asked = await this.#requests.ask(await this.#filled(pending), this.#state.head.settings, control.signal)
        this.#link.ok()
        return this.#state.together(() => this.#take(pending, asked))
      } catch (error) {
        if (control.signal.aborted) return
        const problem = error instanceof ProblemError ? error : null
        // A server that is asked too much is not away.
        const limited = problem?.status === 429 || problem?.code === 'at_capacity'
        if (problem && (limited || !problem.retryable)) this.#link.ok()
        if (problem?.status === 409) return this.#wait(pending)
        if (problem && !problem.retryable) return this.#hold(pending, problem)
        if (problem && limited) {
          const retryAfter = problem.retryAfter ?? LIMITED
          this.#state.change(pending.answer, { reconnecting: false, failure: { ...failureOf(problem), retryAfter } })
          await delay(retryAfter * 1000, control.signal, asleep)
        } else {
          const wait = this.#link.failed((problem?.retryAfter ?? 0) * 1000)
          this.#state.change(pending.answer, { reconnecting: true, failure: null })
          await delay(wait, control.signal, this.#link.wakes)
        }
      }
    }
  }

  /** The question with the data of its files; one that was edited has only their ids. */
  async #filled(pending: Pending): Promise<Pending> {
    const filled = ({ data, id }: QuestionFile) => {
      if (data !== undefined) return data
      if (id === undefined) throw new ProblemError(422, NO_FILES.code, NO_FILES.message, false, null)
      return this.#requests.file(pending.conversation, id)
    }
    const files = pending.files.map(async (file) => ({ ...file, data: await filled(file) }))
    return files.length === 0 ? pending : { ...pending, files: await Promise.all(files) }
  }

  #take(pending: Pending, asked: WireAsked): void {
    this.#sending = null
    this.#outbox.drop(pending)
    this.#pending = this.#outbox.of(this.#state.id)
    this.#listener.onTaken(asked, pending)
    this.pump()
  }

  /** Another answer runs: the question goes back to the queue until that one has ended. */
  #wait(pending: Pending): void {
    this.#sending = null
    this.#notBefore = Date.now() + BUSY
    this.#retract(pending)
    this.#state.changed()
    void this.#listener.onBusy()
  }

  /** Keeps a question that cannot be sent, with the reason, until the person says what becomes of it. */
  #hold(pending: Pending, { code, message, retryAfter }: Failure): void {
    this.#sending?.control.abort()
    this.#state.together(() => {
      this.#sending = null
      const held = { code, message, retryAfter }
      this.keep({ ...pending, held })
      this.#state.change(pending.answer, { ...trouble('failed', held), stopping: false, reconnecting: false })
      this.pump()
    })
    this.#listener.onHeld()
  }

  /** Takes a question out of the tree that the server does not have. */
  #retract({ id, answer, parent }: Pending): void {
    const { tree } = this.#state
    if (tree.get(answer)?.known !== 'here') return
    tree.delete(answer)
    if (tree.get(id)?.known === 'here') tree.delete(id)
    if (this.#state.leaf === answer) this.#state.leaf = this.#state.under(parent)
    this.#state.grown()
  }
}
