import { newAnswer, newId, trouble, verdict, type Answer, type Failure } from './chat.js'
import type {
  Branch,
  ChatSettings,
  Conversation,
  ConversationAnswer,
  ConversationSnapshot,
  ConversationTurn,
  QuestionFile,
  QueuedQuestion,
} from './conversations-types.js'
import { advance, settle } from './fold-message.js'
import type { Link } from './link.js'
import { readLog, type Outcome } from './log-reader.js'
import type { Outbox, Pending } from './outbox.js'
import { delay } from './patience.js'
import { createPublisher, type Publisher } from './publisher.js'
import type { Changes, Requests, Tagged } from './requests.js'
import { below, branches, merge, pathTo, tip, type Below, type Leafed } from './tree.js'
import { ProblemError, type LogDescription, type Transport } from './transport.js'
import { answerOf, questionOf, type WireAsked, type WireConversation, type WireSummary } from './wire.js'

/** What a conversation needs of the page around it. */
export interface Surroundings {
  readonly requests: Requests
  readonly transport: Transport
  readonly link: Link
  readonly outbox: Outbox
  readonly pace: (() => number) | undefined
  readonly hasDraft: (id: string) => boolean
  /** The list's line of this conversation has changed; null where only the server knows how. */
  readonly changed: (id: string, summary: WireSummary | null) => void
  /** Whether this page only looks on: a shared conversation, by its token. */
  readonly shared?: string
}

type Head = Pick<ConversationSnapshot, 'title' | 'state' | 'settings' | 'shared' | 'problem'>

// A question of another tab is left to that tab, unless the tab has gone.
const FOREIGN = 5000
// A conversation that another question keeps busy is asked again after this, if its log does not say when.
const BUSY = 1000

const UNSENT = { code: 'unsent', message: 'This question was not sent.' }
const UNKEPT = { code: 'storage', message: 'This browser has no room to keep the question. Leave the page open until it is sent.', retryAfter: null }

/** One conversation: its tree of turns, the questions that wait to be sent, and the answer that is being read. */
export class LiveConversation implements Conversation {
  readonly id: string
  readonly subscribe: Publisher['subscribe']
  readonly #around: Surroundings
  readonly #publisher: Publisher
  #tree = new Map<string, Leafed>()
  #below: Below = new Map()
  #path: string[] = []
  #turns: ConversationTurn[] = []
  #branches: ReadonlyMap<string, Branch> = new Map()
  readonly #places = new Map<string, number>()
  #leaf: string | null = null
  /** The leaf that the server named last: another device has moved on when it differs. */
  #named: string | null = null
  readonly #chosen = new Map<string | null, string>()
  #pending: Pending[] = []
  /** The questions of other tabs that were seen to arrive, and when. */
  readonly #foreign = new Map<string, number>()
  #sending: { readonly pending: Pending; readonly control: AbortController } | null = null
  #run: { readonly id: string; readonly control: AbortController } | null = null
  #loading: Promise<void> | null = null
  #changes: Changes | null = null
  #tag: string | null = null
  /** Grows with everything the server takes from here, so that a response from before it is known to be old. */
  #epoch = 0
  #life = new AbortController()
  #timer: ReturnType<typeof setTimeout> | undefined
  #head: Head
  #snapshot: ConversationSnapshot | null = null
  #silent = 0

  constructor(id: string, around: Surroundings, state: 'new' | 'loading') {
    this.id = id
    this.#around = around
    this.#publisher = createPublisher(around.pace)
    this.#head = { title: '', state, settings: {}, shared: null, problem: null }
    this.#pending = around.outbox.of(id)
    around.link.subscribe(() => this.#changed())
    let watchers = 0
    this.subscribe = (listener) => {
      watchers++
      const leave = this.#publisher.subscribe(listener)
      return () => {
        watchers--
        leave()
      }
    }
    this.watched = () => watchers > 0
    this.resume()
  }

  /** Whether somebody looks at it. */
  readonly watched: () => boolean

  readonly getSnapshot = (): ConversationSnapshot => {
    this.#snapshot ??= {
      id: this.id,
      ...this.#head,
      turns: this.#turns,
      branches: this.#branches,
      busy: this.#run !== null || this.#sending !== null,
      queue: this.#pending.flatMap(({ id, answer, text, files }) => (this.#tree.has(answer) ? [] : [{ id, text, files }])),
      connection: this.#around.link.state(),
    }
    return this.#snapshot
  }

  readonly send = (text: string, files: readonly QuestionFile[] = []): boolean => this.#ask(text, files)

  readonly interrupt = (text: string, files: readonly QuestionFile[] = []): boolean => {
    const busy = this.getSnapshot().busy
    if (!this.#ask(text, files, { order: this.#front() })) return false
    if (busy) void this.stop()
    return true
  }

  readonly unqueue = (id: string): QueuedQuestion | null => {
    const found = this.#pending.find((pending) => pending.id === id && !this.#tree.has(pending.answer))
    if (!found) return null
    this.#forget(found)
    this.#changed()
    return { id, text: found.text, files: found.files }
  }

  readonly sendNow = (id: string): void => {
    const found = this.#pending.find((pending) => pending.id === id && !this.#tree.has(pending.answer))
    if (!found) return
    this.#keep({ ...found, order: this.#front() })
    if (this.getSnapshot().busy) void this.stop()
    else this.#pump()
  }

  readonly stop = async (): Promise<void> => {
    const sending = this.#sending
    const id = this.#run?.id ?? sending?.pending.answer
    const answer = id === undefined ? undefined : this.#answer(id)
    if (!answer || answer.stopping) return
    this.#turn(answer.id, { stopping: true })
    // A question on its way is stopped once it has arrived; one that cannot arrive is held back.
    if (this.#run) await this.#stopLog(this.#run.id)
    else if (sending && answer.reconnecting) this.#hold(sending.pending, { ...UNSENT, retryAfter: null })
  }

  readonly regenerate = (answer: string): void => {
    const parent = this.#tree.get(answer)?.parent
    if (parent == null || this.getSnapshot().busy) return
    // A question that the server never took is not asked again but sent.
    const held = this.#pending.find((pending) => pending.answer === answer)
    if (held) return this.#release(held)
    const id = newId()
    this.#enter({ id, answer: id, kind: 'again', parent, follows: false, text: '', files: [] })
  }

  readonly retry = (): void => {
    const last = this.#turns.at(-1)
    if (last?.role !== 'assistant' || this.getSnapshot().busy) return
    if (last.status === 'interrupted' && last.location !== null) this.#follow(last.id)
    else if (last.failure) this.regenerate(last.id)
  }

  readonly edit = (question: string, text: string): boolean => {
    const found = this.#tree.get(question)
    if (found?.turn.role !== 'user' || !text.trim()) return false
    const { parent, turn } = found
    // The new words take the place of a question that the server never took.
    const held = this.#pending.find((pending) => pending.id === question && pending.held)
    if (held) this.#forget(held)
    const busy = this.getSnapshot().busy
    this.#enter({ ...named(), kind: 'ask', parent, follows: false, text, files: turn.files, order: this.#front() })
    if (busy) void this.stop()
    return true
  }

  readonly choose = (turn: string): void => {
    const found = this.#tree.get(turn)
    if (!found || this.#around.shared) return
    this.#chosen.set(found.parent, turn)
    this.#leaf = tip(this.#below, turn, this.#chosen)
    this.#restructure()
    if (this.#leaf !== null && this.#tree.get(this.#leaf)!.known !== 'here') this.change({ leaf: this.#leaf })
  }

  readonly goOn = (): void => {
    if (!this.getSnapshot().busy) this.#enter({ ...named(), kind: 'continue', parent: this.#leaf, follows: true, text: 'Continue', files: [] })
  }

  readonly configure = (settings: ChatSettings): void => {
    this.#set({ settings })
    if (this.#head.state !== 'new') this.change({ settings })
  }

  readonly share = async (): Promise<string> => {
    const { url } = await this.#around.requests.share(this.id)
    const shared = this.#around.requests.address(url)
    this.#set({ shared })
    this.#around.changed(this.id, null)
    return shared
  }

  readonly unshare = async (): Promise<void> => {
    await this.#around.requests.unshare(this.id)
    this.#set({ shared: null })
    this.#around.changed(this.id, null)
  }

  readonly wake = (): void => {
    this.#around.link.wake()
    void this.load()
  }

  readonly close = (): void => {
    this.#life.abort()
    this.#run?.control.abort()
    this.#run = null
    this.#changed()
  }

  /** Reads on after `close`, and sends what the outbox has. */
  resume(): void {
    if (this.#life.signal.aborted) this.#life = new AbortController()
    for (const pending of this.#pending) if (pending.held && this.#head.state === 'new') this.#begin(pending)
    if (this.#head.state === 'new') this.#pump()
    else void this.load()
  }

  /** Takes the server's state, however long that takes; one at a time. */
  load(): Promise<void> {
    if (this.#head.state === 'new' && this.#epoch === 0) return Promise.resolve()
    this.#loading ??= this.#load().finally(() => (this.#loading = null))
    return this.#loading
  }

  /** Looks into the outbox, which another tab has changed. */
  look(): void {
    const kept = this.#around.outbox.of(this.id)
    const known = new Set(this.#pending.map(({ id }) => id))
    for (const { id } of kept) if (!known.has(id)) this.#foreign.set(id, Date.now())
    const taken = this.#pending.some(({ id }) => kept.every((pending) => pending.id !== id))
    this.#pending = kept
    this.#changed()
    this.#pump()
    if (taken) void this.load()
  }

  /** Changes it on the server, as soon as that can be reached. */
  change(changes: Changes): void {
    if (changes.title !== undefined) this.#set({ title: changes.title })
    const idle = this.#changes === null
    this.#changes = { ...this.#changes, ...changes }
    if (idle) void this.#patch()
  }

  #ask(text: string, files: readonly QuestionFile[], more: Partial<Pending> = {}): boolean {
    if ((!text.trim() && files.length === 0) || this.#around.shared) return false
    this.#enter({ ...named(), kind: 'ask', parent: this.#leaf, follows: true, text, files, ...more })
    return true
  }

  #enter(asked: Omit<Pending, 'conversation' | 'createdAt' | 'order' | 'held'> & { readonly order?: number }): void {
    const { settings, state } = this.#head
    const createdAt = Date.now()
    const own = { conversation: this.id, createdAt, order: createdAt, held: null }
    this.#keep({ ...own, ...(state === 'new' && Object.keys(settings).length > 0 && { settings }), ...asked })
    this.#pump()
    this.#around.changed(this.id, null)
  }

  /** Writes a question to the outbox, before anything else is done with it. */
  #keep(pending: Pending): void {
    const kept = this.#around.outbox.put(pending)
    this.#head = { ...this.#head, problem: kept ? null : UNKEPT }
    this.#pending = this.#around.outbox.of(this.id)
    this.#changed()
  }

  #forget(pending: Pending): void {
    this.#around.outbox.drop(pending)
    this.#pending = this.#pending.filter(({ id }) => id !== pending.id)
    this.#retract(pending)
  }

  /** Takes a question out of the tree that the server does not have. */
  #retract({ id, answer, parent }: Pending): void {
    if (this.#tree.get(answer)?.known !== 'here') return
    this.#tree.delete(answer)
    if (this.#tree.get(id)?.known === 'here') this.#tree.delete(id)
    if (this.#leaf === answer) this.#leaf = tip(below(this.#tree), parent, this.#chosen)
    this.#restructure()
  }

  #front(): number {
    return Math.min(Date.now(), ...this.#pending.map(({ order }) => order)) - 1
  }

  /** Sends the next question, if nothing speaks against it. */
  #pump(): void {
    clearTimeout(this.#timer)
    if (this.#sending || this.#run || this.#head.state === 'loading' || this.#life.signal.aborted) return
    const next = this.#pending.find(({ held }) => !held)
    if (!next) return
    const age = Date.now() - (this.#foreign.get(next.id) ?? 0)
    if (age < FOREIGN) this.#timer = setTimeout(() => this.#pump(), FOREIGN - age)
    else void this.#post(this.#begin(next))
  }

  /** Shows a question with an answer that has not begun. */
  #begin(queued: Pending): Pending {
    const { id, answer, kind, text, files, createdAt, held } = queued
    const { parent } = this.#tree.has(answer) ? queued : { parent: this.#placeOf(queued) }
    const pending = { ...queued, parent }
    if (parent !== queued.parent) this.#keep(pending)
    if (kind !== 'again' && !this.#tree.has(id)) {
      this.#tree.set(id, { turn: { role: 'user', id, text, files, kind: kind === 'ask' ? 'ask' : 'continue', createdAt }, parent, known: 'here' })
    }
    const turn: ConversationAnswer = { ...newAnswer(kind === 'again', answer), createdAt, saved: null, ...(held && trouble('failed', held)) }
    this.#tree.set(answer, { turn, parent: kind === 'again' ? parent : id, known: 'here' })
    this.#leaf = answer
    if (!this.#head.title) this.#head = { ...this.#head, title: titleOf(text) }
    this.#restructure()
    return pending
  }

  #placeOf({ parent, follows }: Pending): string | null {
    if (!follows) return parent
    if (parent === null || !this.#tree.has(parent)) return this.#leaf
    return this.#path.includes(parent) ? this.#leaf : tip(this.#below, parent, this.#chosen)
  }

  async #post(pending: Pending): Promise<void> {
    const control = new AbortController()
    this.#sending = { pending, control }
    this.#changed()
    const { requests, link } = this.#around
    for (;;) {
      try {
        const asked = await requests.ask(pending, control.signal)
        link.ok()
        return this.#together(() => this.#accept(pending, asked))
      } catch (error) {
        if (control.signal.aborted) return
        const problem = error instanceof ProblemError ? error : null
        if (problem) link.ok()
        if (problem?.status === 409) return this.#wait(pending)
        if (problem && !problem.retryable) return this.#hold(pending, problem)
        const wait = link.failed((problem?.retryAfter ?? 0) * 1000)
        this.#turn(pending.answer, { reconnecting: true })
        await delay(wait, control.signal, link.wakes)
      }
      if (control.signal.aborted) return
    }
  }

  #accept(pending: Pending, { conversation, question, answer }: WireAsked): void {
    this.#epoch++
    this.#sending = null
    this.#around.outbox.drop(pending)
    this.#pending = this.#around.outbox.of(this.id)
    const seen = this.#answer(pending.answer)
    const { stopping = false } = seen ?? {}
    const known = this.#tree.get(question.id)
    if (known?.known !== 'final') this.#tree.set(question.id, { turn: questionOf(question), parent: question.parent, known: 'final' })
    const open = answer.state === 'open'
    this.#tree.set(answer.id, { turn: { ...answerOf(answer), stopping: stopping && open, bypassCache: seen?.bypassCache ?? false }, parent: answer.parent, known: open ? 'there' : 'final' })
    this.#named = answer.id
    this.#head = { ...this.#head, state: 'ready', title: conversation.title, problem: null }
    this.#restructure()
    this.#around.changed(this.id, conversation)
    if (!open) return this.#pump()
    this.#follow(answer.id)
    // Asked to stop before there was an address.
    if (stopping) void this.#stopLog(answer.id)
  }

  /** Another answer runs: the question goes back to the queue until that one has ended. */
  #wait(pending: Pending): void {
    this.#sending = null
    this.#retract(pending)
    this.#changed()
    void this.load().then(() => {
      if (!this.#run) this.#timer = setTimeout(() => this.#pump(), BUSY)
    })
  }

  /** Keeps a question that cannot be sent, with the reason, until the person says what becomes of it. */
  #hold(pending: Pending, { code, message, retryAfter }: Failure): void {
    this.#sending?.control.abort()
    this.#sending = null
    const held = { code, message, retryAfter }
    this.#keep({ ...pending, held })
    this.#turn(pending.answer, { ...trouble('failed', held), stopping: false, reconnecting: false })
    this.#pump()
  }

  #release(pending: Pending): void {
    this.#retract(pending)
    this.#keep({ ...pending, held: null, order: this.#front() })
    this.#pump()
  }

  #follow(id: string): void {
    if (this.#run?.id === id || this.#life.signal.aborted) return
    this.#run?.control.abort()
    const run = (this.#run = { id, control: new AbortController() })
    const { cursor, location } = this.#answer(id)!
    this.#turn(id, { status: 'streaming', failure: null })
    const { transport, link } = this.#around
    void readLog({
      transport,
      location: location!,
      cursor,
      signal: run.control.signal,
      wakes: link.wakes,
      wait: () => link.failed(),
      onEntries: (entries) => this.#turn(id, advance(this.#answer(id)!, entries), 'soon'),
      onConnection: (connection) => {
        if (connection === 'live') link.ok()
        this.#turn(id, { reconnecting: connection === 'reconnecting' })
      },
    }).then((outcome) => {
      if (this.#run === run) void this.#conclude(id, outcome)
    })
  }

  async #conclude(id: string, outcome: Outcome): Promise<void> {
    // The server keeps a copy of an answer whose log has gone.
    if (outcome.type === 'gone' || outcome.type === 'refused') {
      this.#epoch++
      await this.load()
      if (this.#run?.id !== id) return
    }
    const { message: seen, location } = this.#answer(id)!
    const message = outcome.type === 'settled' ? settle(seen, outcome.log) : seen
    this.#together(() => {
      this.#run = null
      const timing = outcome.type === 'settled' ? { timing: outcome.log.timing } : {}
      this.#turn(id, { message, ...verdict(message, outcome), stopping: false, reconnecting: false, ...timing })
      this.#pump()
    })
    this.#around.changed(this.id, null)
    if (outcome.type !== 'ended' || location === null) return
    const log = await this.#around.transport.get<LogDescription>(location).catch(() => null)
    if (log && this.#tree.has(id)) this.#turn(id, { timing: log.timing })
  }

  async #stopLog(id: string): Promise<void> {
    const run = this.#run
    const log = await this.#around.transport.stop(this.#answer(id)!.location!).catch(() => null)
    if (this.#run !== run || run?.id !== id) return
    if (!log) return this.#turn(id, { stopping: false })
    run.control.abort()
    if (log.state !== 'open') return this.#conclude(id, { type: 'settled', log })
    // Others go on reading a log that is still open, or the server is slow to end it.
    this.#together(() => {
      this.#run = null
      this.#turn(id, { status: 'stopped', stopping: false, reconnecting: false })
      this.#pump()
    })
  }

  async #load(): Promise<void> {
    const { link } = this.#around
    const { signal } = this.#life
    while (!signal.aborted) {
      const epoch = this.#epoch
      try {
        const { tag, body } = await this.#get()
        link.ok()
        if (epoch !== this.#epoch) continue
        this.#tag = tag
        return this.#together(() => {
          if (body) this.#take(body)
          this.#pump()
        })
      } catch (error) {
        const problem = error instanceof ProblemError ? error : null
        if (problem && !problem.retryable) {
          link.ok()
          return this.#miss(problem)
        }
        await delay(link.failed((problem?.retryAfter ?? 0) * 1000), signal, link.wakes)
      }
    }
  }

  #get(): Promise<Tagged<WireConversation>> {
    const { requests, shared } = this.#around
    return shared === undefined ? requests.conversation(this.id, this.#tag) : requests.shared(shared, this.#tag)
  }

  #take(body: WireConversation): void {
    const { requests } = this.#around
    const { title, settings, shared, leaf, messages } = body
    this.#tree = new Map(merge(this.#tree, messages))
    const head = { title, settings: settings ?? {}, shared: shared === null ? null : requests.address(`shared?id=${shared}`) }
    this.#head = { ...this.#head, ...head, ...this.#changes, state: 'ready' }
    const here = this.#leaf !== null && this.#tree.get(this.#leaf)?.known === 'here'
    const moved = leaf !== this.#named && !here
    if (moved || this.#leaf === null || !this.#tree.has(this.#leaf)) this.#leaf = leaf !== null && this.#tree.has(leaf) ? leaf : tip(below(this.#tree), null)
    this.#named = leaf
    // A question that another tab has sent is in the conversation now, and no longer in the outbox.
    this.#pending = this.#around.outbox.of(this.id)
    for (const pending of this.#pending) {
      if (this.#tree.has(pending.answer) && this.#tree.get(pending.answer)!.known !== 'here') this.#forget(pending)
      else if (pending.held && !this.#tree.has(pending.answer)) this.#begin(pending)
    }
    this.#drop()
    this.#restructure()
    const open = [...this.#tree].reverse().find(([, { turn, known }]) => known === 'there' && turn.role === 'assistant' && turn.status === 'streaming')
    if (open) this.#follow(open[0])
    else if (this.#run && this.#tree.get(this.#run.id)?.known !== 'there') {
      this.#run.control.abort()
      this.#run = null
    }
  }

  /** Takes out of the tree what was waiting here and has left the outbox without reaching the server. */
  #drop(): void {
    const waiting = new Set(this.#pending.flatMap(({ id, answer }) => [id, answer]))
    if (this.#sending) return
    for (const [id, { known }] of this.#tree) if (known === 'here' && !waiting.has(id)) this.#tree.delete(id)
    if (this.#leaf !== null && !this.#tree.has(this.#leaf)) this.#leaf = tip(below(this.#tree), null)
  }

  #miss(problem: ProblemError): void {
    const { outbox, hasDraft } = this.#around
    if (problem.status !== 404 && problem.status !== 410) return this.#set({ problem: failureOf(problem) })
    const fresh = this.#head.state === 'loading' && (outbox.of(this.id).length > 0 || hasDraft(this.id))
    this.#set({ state: fresh ? 'new' : 'missing' })
    if (fresh) this.resume()
  }

  async #patch(): Promise<void> {
    const { requests, link } = this.#around
    while (this.#changes) {
      const changes = this.#changes
      try {
        const summary = await requests.change(this.id, changes)
        link.ok()
        this.#epoch++
        if (this.#changes === changes) this.#changes = null
        if (changes.leaf !== undefined) this.#named = changes.leaf
        this.#around.changed(this.id, summary)
      } catch (error) {
        if (error instanceof ProblemError && !error.retryable) {
          this.#changes = null
          this.#set({ problem: failureOf(error) })
        } else await delay(link.failed(), this.#life.signal, link.wakes)
      }
    }
  }

  #answer(id: string): ConversationAnswer | undefined {
    const turn = this.#tree.get(id)?.turn
    return turn?.role === 'assistant' ? turn : undefined
  }

  /** Changes one answer; what that costs does not depend on how many turns there are. */
  #turn(id: string, part: Partial<Answer>, when: 'soon' | 'now' = 'now'): void {
    const found = this.#tree.get(id)
    if (found?.turn.role !== 'assistant') return
    const turn = { ...found.turn, ...part }
    this.#tree.set(id, { ...found, turn })
    const place = this.#places.get(id)
    if (place !== undefined) {
      // A snapshot that was handed out keeps its own array.
      if (this.#snapshot) this.#turns = [...this.#turns]
      this.#turns[place] = turn
    }
    this.#changed(when)
  }

  #restructure(): void {
    this.#below = below(this.#tree)
    this.#path = pathTo(this.#tree, this.#leaf)
    this.#turns = this.#path.map((id) => this.#tree.get(id)!.turn)
    this.#places.clear()
    this.#path.forEach((id, place) => this.#places.set(id, place))
    this.#branches = branches(this.#tree, this.#below, this.#path, this.#branches)
    this.#changed()
  }

  #set(part: Partial<Head>): void {
    this.#head = { ...this.#head, ...part }
    this.#changed()
  }

  #changed(when: 'soon' | 'now' = 'now'): void {
    this.#snapshot = null
    if (this.#silent === 0) this.#publisher[when]()
  }

  /** Does several things at once: nobody sees what is between them. */
  #together(act: () => void): void {
    this.#silent++
    try {
      act()
    } finally {
      this.#silent--
      this.#changed()
    }
  }
}

function named(): { readonly id: string; readonly answer: string } {
  return { id: newId(), answer: newId() }
}

function failureOf({ code, message, retryAfter }: ProblemError): Failure {
  return { code, message, retryAfter }
}

/** A title for a chat that the server has not named yet: the first line of its question, whole words. */
export function titleOf(text: string): string {
  const line = (/\S.*/.exec(text.replace(/[#*_`>~]+/g, '')) ?? [''])[0].trim()
  return line.length <= 60 ? line : `${/^.{0,59}(?=\s)/.exec(line)?.[0] ?? line.slice(0, 59)}…`
}
