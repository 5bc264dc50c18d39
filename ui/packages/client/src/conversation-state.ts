import type { Answer } from './chat.js'
import type { Branch, ConversationAnswer, ConversationSnapshot, ConversationTurn } from './conversations-types.js'
import { createPublisher, type Publisher } from './publisher.js'
import { below, branches, pathTo, tip, type Below, type Leafed } from './tree.js'

/** The fields of a snapshot that concern the conversation as a whole. */
export type Head = Pick<ConversationSnapshot, 'title' | 'state' | 'settings' | 'shared' | 'problem'>

/** The fields of a snapshot that others know. */
export type Doings = Pick<ConversationSnapshot, 'busy' | 'queue' | 'connection'>

/** What a conversation shows: its tree of turns, the branch of it that is chosen, and its head. */
export class ConversationState {
  readonly subscribe: Publisher['subscribe']
  readonly tree = new Map<string, Leafed>()
  /** The last turn of the branch that is shown. */
  leaf: string | null = null
  head: Head
  readonly snapshot: () => ConversationSnapshot
  readonly #publisher: Publisher
  readonly #places = new Map<string, number>()
  readonly #chosen = new Map<string | null, string>()
  #below: Below = new Map()
  #path: readonly string[] = []
  #turns: ConversationTurn[] = []
  #branches: ReadonlyMap<string, Branch> = new Map()
  #shown: readonly ConversationTurn[] | null = null
  #silent = 0
  #watchers = 0

  constructor(
    readonly id: string,
    state: 'new' | 'loading',
    pace: (() => number) | undefined,
    doings: () => Doings,
  ) {
    this.head = { title: '', state, settings: {}, shared: null, problem: null }
    this.#publisher = createPublisher(pace)
    this.snapshot = this.#publisher.published(() => {
      this.#shown = this.#turns
      return { id: this.id, ...this.head, turns: this.#turns, branches: this.#branches, ...doings() }
    })
    this.subscribe = (listener) => {
      this.#watchers++
      const leave = this.#publisher.subscribe(listener)
      return () => {
        this.#watchers--
        leave()
      }
    }
  }

  /** Whether somebody looks at it. */
  get watched(): boolean {
    return this.#watchers > 0
  }

  get turns(): readonly ConversationTurn[] {
    return this.#turns
  }

  answer(id: string): ConversationAnswer | undefined {
    const turn = this.tree.get(id)?.turn
    return turn?.role === 'assistant' ? turn : undefined
  }

  /** Changes one answer; what that costs does not depend on how many turns there are. */
  change(id: string, part: Partial<Answer>, when: 'soon' | 'now' = 'now'): void {
    const found = this.tree.get(id)
    if (found?.turn.role !== 'assistant') return
    const turn = { ...found.turn, ...part }
    this.tree.set(id, { ...found, turn })
    const place = this.#places.get(id)
    if (place !== undefined) {
      // A snapshot that was handed out keeps its own array.
      if (this.#shown === this.#turns) this.#turns = [...this.#turns]
      this.#turns[place] = turn
    }
    this.changed(when)
  }

  /** Shows the branch of a turn, to the end that was shown before. */
  choose(turn: string): void {
    this.leaf = tip(this.#below, turn, this.#chosen)
    this.grown()
  }

  /** The end of the branch that a turn is on. */
  endOf(turn: string | null): string | null {
    return turn === null || this.#path.includes(turn) ? this.leaf : this.under(turn)
  }

  /** The end of the branch below a turn that was shown last, or else the newest. */
  under(turn: string | null): string | null {
    return tip(below(this.tree), turn, this.#chosen)
  }

  /** The answers to a question, the oldest first. */
  answersTo(question: string): readonly string[] {
    return this.#below.get(question) ?? []
  }

  /** Call it when the tree or the leaf has changed: works out what is shown. */
  grown(): void {
    this.#below = below(this.tree)
    if (this.leaf === null || !this.tree.has(this.leaf)) this.leaf = tip(this.#below, null, this.#chosen)
    this.#path = pathTo(this.tree, this.leaf)
    this.#turns = this.#path.map((id) => this.tree.get(id)!.turn)
    this.#places.clear()
    this.#path.forEach((id, place) => {
      this.#places.set(id, place)
      this.#chosen.set(this.tree.get(id)!.parent, id)
    })
    this.#branches = branches(this.tree, this.#below, this.#path, this.#branches)
    this.changed()
  }

  set(part: Partial<Head>): void {
    this.head = { ...this.head, ...part }
    this.changed()
  }

  changed(when: 'soon' | 'now' = 'now'): void {
    if (this.#silent === 0) this.#publisher[when]()
  }

  /** Does several things at once: nobody sees what is between them. */
  together(act: () => void): void {
    this.#silent++
    try {
      act()
    } finally {
      this.#silent--
      this.changed()
    }
  }
}
