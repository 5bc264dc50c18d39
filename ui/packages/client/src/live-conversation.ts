import { AnswerReader } from './answer-reader.js'
import { failureOf, newId } from './chat.js'
import { ConversationState } from './conversation-state.js'
import type { ChatSettings, Conversation, ConversationSnapshot, QuestionFile, QueuedQuestion } from './conversations-types.js'
import type { Pending } from './outbox.js'
import { delay } from './patience.js'
import { QuestionSender } from './question-sender.js'
import { headOf, type Changes } from './requests.js'
import type { Surroundings } from './surroundings.js'
import { merge } from './tree.js'
import { ProblemError } from './transport.js'
import { answerOf, questionOf, type WireAsked, type WireConversation } from './wire.js'

type Asked = Pick<Pending, 'id' | 'answer' | 'kind' | 'parent' | 'follows'> & Partial<Pending>

/** What the names of settings begin with that wait for the first question of their chat. */
export const SETTINGS = 'settings:'
/** A state that is younger is not fetched again by who begins to look. */
const FRESH = 1000
const named = () => ({ id: newId(), answer: newId() })

/** One conversation: what it shows, the questions that wait to be sent, and the answer that is being read. */
export class LiveConversation implements Conversation {
  readonly id: string
  readonly subscribe: Conversation['subscribe']
  readonly #around: Surroundings
  readonly #state: ConversationState
  readonly #reader: AnswerReader
  readonly #sender: QuestionSender
  /** The leaf that the server named last: another device has moved on when it differs. */
  #named: string | null = null
  #loading: Promise<void> | null = null
  #changes: Changes | null = null
  #patching = false
  #tag: string | null = null
  /** Whether only the questions of this browser are known of it. */
  #partial = false
  #loaded = -Infinity
  /** Grows with everything the server takes from here, so that a response from before it is known to be old. */
  #epoch = 0
  #life = new AbortController()

  constructor(id: string, around: Surroundings, state: 'new' | 'loading') {
    this.id = id
    this.#around = around
    const doings = () => ({ busy: this.#busy, queue: this.#sender.queue, connection: around.link.state() })
    // A question that makes its conversation has nothing to wait for.
    const first = around.outbox.of(id).some(({ makes }) => makes)
    this.#state = new ConversationState(id, first ? 'new' : state, around.pace, doings)
    this.#partial = first && state === 'loading'
    this.subscribe = (listener) => {
      // What other devices have done since somebody looked last.
      if (!this.watched && Date.now() - this.#loaded > FRESH) void this.load()
      return this.#state.subscribe(listener)
    }
    this.#sender = new QuestionSender(this.#state, around, {
      free: () => this.#reader.id === null && this.#state.head.state !== 'loading' && !this.#life.signal.aborted,
      onTaken: (asked, pending) => this.#taken(asked, pending),
      onBusy: () => this.#reload(),
      onHeld: () => this.#around.changed(this.id, null),
    })
    this.#reader = new AnswerReader(this.#state, around, {
      onEnded: () => {
        this.#around.changed(this.id, null)
        this.#sender.pump(true)
      },
      onGone: () => this.#reload(),
    })
    const settings = around.shelf.get<ChatSettings>(SETTINGS + id)
    if (settings !== null) this.#state.set({ settings })
    around.link.subscribe(() => this.#state.changed())
    this.#begin()
  }

  get watched(): boolean {
    return this.#state.watched
  }

  readonly getSnapshot = (): ConversationSnapshot => this.#state.snapshot()

  /** What the list shows of it, as it is now: that may not be published yet. */
  readonly line = () => ({ ...this.#state.head, busy: this.#busy })

  readonly send = (text: string, files: readonly QuestionFile[] = []): boolean => this.#ask(text, files)

  readonly interrupt = (text: string, files: readonly QuestionFile[] = []): boolean => {
    const busy = this.#busy
    if (!this.#ask(text, files, { order: this.#sender.front })) return false
    if (busy) void this.stop()
    return true
  }

  readonly unqueue = (id: string): QueuedQuestion | null => {
    const found = this.#sender.queued(id)
    if (!found) return null
    this.#sender.forget(found)
    this.#around.changed(this.id, null)
    return { id, text: found.text, files: found.files }
  }

  readonly sendNow = (id: string): void => {
    const found = this.#sender.queued(id)
    if (!found) return
    this.#sender.keep({ ...found, order: this.#sender.front })
    this.#around.changed(this.id, null)
    if (this.#busy) void this.stop()
    else this.#sender.pump()
  }

  readonly stop = async (): Promise<void> => {
    const id = this.#reader.id ?? this.#sender.answer
    if (id === null || this.#state.answer(id)?.stopping) return
    this.#state.change(id, { stopping: true })
    if (this.#reader.id !== null) await this.#reader.stop()
    // A question on its way is stopped once it has arrived.
    else this.#sender.stop()
  }

  readonly regenerate = (answer: string): void => {
    const parent = this.#state.tree.get(answer)?.parent
    if (parent == null || this.#busy || !this.#writable) return
    // A question that the server never took is not asked again but sent.
    const held = this.#sender.held(answer)
    if (held) return this.#sender.release(held)
    const id = newId()
    this.#enter({ id, answer: id, kind: 'again', parent, follows: false })
  }

  readonly retry = (): void => {
    const last = this.#state.turns.at(-1)
    if (last?.role !== 'assistant' || this.#busy) return
    if (last.status === 'interrupted' && last.location !== null) this.#reader.follow(last.id)
    else if (last.failure) this.regenerate(last.id)
  }

  readonly edit = (question: string, text: string): boolean => {
    const found = this.#state.tree.get(question)
    if (found?.turn.role !== 'user' || !text.trim() || !this.#writable) return false
    const busy = this.#busy
    const files = found.turn.files.filter(({ id, data }) => id !== undefined || data !== undefined)
    this.#enter({ ...named(), kind: 'ask', parent: found.parent, follows: false, text, files, order: this.#sender.front })
    // The new words take the place of a question that the server never took.
    const held = this.#sender.held(question)
    if (held) this.#sender.forget(held)
    if (busy) void this.stop()
    return true
  }

  readonly choose = (turn: string): void => {
    if (!this.#state.tree.has(turn)) return
    this.#state.choose(turn)
    const { leaf, tree } = this.#state
    if (leaf !== null && tree.get(leaf)!.known !== 'here' && this.#writable) this.change({ leaf })
  }

  readonly goOn = (): void => {
    if (!this.#busy) this.#ask('Continue', [], { kind: 'continue' })
  }

  readonly configure = (settings: ChatSettings): void => {
    // Before the server has said what they are, a change would be all of them.
    if (!this.#writable || this.#state.head.state === 'loading') return
    this.#state.set({ settings })
    // They go with the first question; until then this browser keeps them.
    if (this.#state.head.state === 'new') this.#around.shelf.put(SETTINGS + this.id, settings)
    else this.change({ settings })
  }

  readonly share = async (): Promise<string> => {
    const { url } = await this.#around.requests.share(this.id)
    const shared = this.#around.requests.address(url)
    this.#state.set({ shared })
    this.#around.changed(this.id, null)
    return shared
  }

  readonly unshare = async (): Promise<void> => {
    await this.#around.requests.unshare(this.id)
    this.#state.set({ shared: null })
    this.#around.changed(this.id, null)
  }

  readonly wake = (): void => {
    this.#around.link.wake()
    void this.load()
  }

  readonly close = (): void => {
    if (this.#life.signal.aborted) return
    this.#life.abort()
    this.#loading = null
    this.#reader.leave()
    this.#sender.rest()
    this.#state.changed()
  }

  /** Reads on after `close`. */
  resume(): void {
    if (!this.#life.signal.aborted) return
    this.#life = new AbortController()
    if (this.#changes) void this.#patch()
    this.#begin()
  }

  /** Ends it: the conversation is deleted. */
  end(): void {
    this.#sender.forgetAll()
    this.#around.shelf.drop(SETTINGS + this.id)
    this.close()
    this.#state.set({ state: 'missing' })
  }

  /** Takes the server's state, however long that takes; one at a time. */
  load(): Promise<void> {
    if (this.#state.head.state === 'new') return Promise.resolve()
    if (this.#loading) return this.#loading
    const loading = this.#load().finally(() => {
      if (this.#loading === loading) this.#loading = null
    })
    return (this.#loading = loading)
  }

  /** Looks at what another tab has done. */
  look(): void {
    const taken = this.#sender.look()
    this.#sender.pump()
    if (this.#state.head.state === 'new' && taken) this.#state.set({ state: 'loading' })
    if (taken || this.watched) void this.load()
  }

  /** Changes it on the server, as soon as that can be reached. */
  change(changes: Changes): void {
    if (changes.title !== undefined) this.#state.set({ title: changes.title })
    this.#changes = { ...this.#changes, ...changes }
    void this.#patch()
  }

  /** Takes the server's state, and sends what the outbox has. */
  #begin(): void {
    if (this.#state.head.state !== 'new') return void this.load()
    this.#sender.reconcile()
    this.#sender.pump()
  }

  get #busy(): boolean {
    return this.#reader.id !== null || this.#sender.answer !== null
  }

  get #writable(): boolean {
    return this.#around.shared === undefined
  }

  #ask(text: string, files: readonly QuestionFile[], more: Partial<Pending> = {}): boolean {
    if ((!text.trim() && files.length === 0) || !this.#writable) return false
    this.#enter({ ...named(), kind: 'ask', parent: this.#state.leaf, follows: true, text, files, ...more })
    return true
  }

  #enter(asked: Asked): void {
    const createdAt = Date.now()
    const makes = this.#state.head.state === 'new'
    const pending = { conversation: this.id, createdAt, order: createdAt, held: null, makes, text: '', files: [], ...asked }
    this.#state.together(() => {
      this.#sender.keep(pending)
      this.#sender.pump()
    })
    this.#around.changed(this.id, null)
  }

  #taken({ conversation, question, answer }: WireAsked, pending: Pending): void {
    this.#epoch++
    this.#around.shelf.drop(SETTINGS + this.id)
    const { tree } = this.#state
    const { stopping = false, bypassCache = false } = this.#state.answer(pending.answer) ?? {}
    const open = answer.state === 'open'
    if (tree.get(question.id)?.known !== 'final') tree.set(question.id, { turn: questionOf(question), parent: question.parent, known: 'final' })
    const turn = { ...answerOf(answer), stopping: stopping && open, bypassCache }
    tree.set(answer.id, { turn, parent: answer.parent, known: open ? 'there' : 'final' })
    this.#named = answer.id
    // It may have been renamed since the question was asked.
    const { title } = { ...conversation, ...headOf(this.#changes) }
    this.#state.set({ state: 'ready', title, problem: null })
    this.#state.grown()
    if (open && !this.#life.signal.aborted) this.#reader.follow(answer.id)
    // Asked to stop before there was an address.
    if (open && stopping) void this.#reader.stop()
    this.#around.changed(this.id, { ...conversation, title })
    void this.#patch()
    // There may be more than what was asked here.
    const strange = question.parent !== null && !tree.has(question.parent)
    if (this.#partial || strange) void this.load()
    this.#partial = false
  }

  /** Takes the server's state as it is from now on: a request under way may have been answered before. */
  #reload(): Promise<void> {
    this.#epoch++
    return this.load()
  }

  async #load(): Promise<void> {
    const { link, requests, shared } = this.#around
    const { signal } = this.#life
    while (!signal.aborted) {
      const epoch = this.#epoch
      try {
        const { tag, body } = await (shared === undefined ? requests.conversation(this.id, this.#tag) : requests.shared(shared, this.#tag))
        link.ok()
        if (epoch !== this.#epoch) continue
        if (signal.aborted) return
        this.#tag = tag
        this.#loaded = Date.now()
        if (body && this.#writable) this.#around.copies.put(this.id, body)
        return this.#state.together(() => {
          if (body) this.#take(body)
          this.#sender.pump()
        })
      } catch (error) {
        const problem = error instanceof ProblemError ? error : null
        if (problem && !problem.retryable) {
          link.ok()
          return this.#miss(problem)
        }
        void this.#recall()
        await delay(link.failed((problem?.retryAfter ?? 0) * 1000), signal, link.wakes)
      }
    }
  }

  /** Shows what was read last, until the server says how it is now. */
  async #recall(): Promise<void> {
    const copy = this.#writable ? await this.#around.copies.get(this.id) : null
    if (copy && this.#state.head.state === 'loading') this.#state.together(() => this.#take(copy as WireConversation))
  }

  #take({ title, settings, shared, leaf, messages }: WireConversation): void {
    const { tree } = this.#state
    const merged = merge(tree, messages)
    tree.clear()
    for (const [id, leafed] of merged) tree.set(id, leafed)
    const link = shared == null ? null : this.#around.requests.address(`shared?id=${shared}`)
    this.#state.set({ title, settings: settings ?? {}, shared: link, ...headOf(this.#changes), state: 'ready' })
    const here = this.#state.leaf !== null && tree.get(this.#state.leaf)?.known === 'here'
    if (leaf !== this.#named && !here && this.#changes?.leaf === undefined) this.#state.leaf = leaf
    this.#named = leaf
    this.#sender.reconcile()
    this.#state.grown()
    this.#read()
    void this.#patch()
  }

  /** Reads the answer that is open, and no other. */
  #read(): void {
    const { tree } = this.#state
    const open = [...tree].findLast(([id, { known }]) => {
      const answer = this.#state.answer(id)
      return known === 'there' && answer?.status === 'streaming' && answer.location !== null
    })
    if (open) this.#reader.follow(open[0])
    else if (this.#reader.id !== null && tree.get(this.#reader.id)?.known !== 'there') this.#reader.leave()
  }

  #miss(problem: ProblemError): void {
    if (problem.status !== 404 && problem.status !== 410) return this.#state.set({ problem: failureOf(problem) })
    const { hasDraft, shelf, copies } = this.#around
    copies.drop(this.id)
    const begun = this.#sender.queue.length > 0 || hasDraft(this.id) || shelf.get(SETTINGS + this.id) !== null
    const fresh = this.#state.head.state === 'loading' && this.#writable && begun
    this.#state.set({ state: fresh ? 'new' : 'missing' })
    if (fresh) this.#begin()
  }

  async #patch(): Promise<void> {
    const { requests, link, changed } = this.#around
    const { signal } = this.#life
    // The server has nothing to change before it has the first question.
    if (this.#patching || this.#state.head.state === 'new') return
    this.#patching = true
    while (this.#changes && !signal.aborted) {
      const changes = this.#changes
      try {
        const summary = await requests.change(this.id, changes)
        link.ok()
        this.#epoch++
        if (this.#changes === changes) this.#changes = null
        if (changes.leaf !== undefined) this.#named = changes.leaf
        changed(this.id, summary)
      } catch (error) {
        if (error instanceof ProblemError && !error.retryable) {
          this.#changes = null
          this.#state.set({ problem: failureOf(error) })
          // What was shown ahead of the server is not so.
          this.#tag = null
          void this.load()
        } else await delay(link.failed(), signal, link.wakes)
      }
    }
    this.#patching = false
  }
}
