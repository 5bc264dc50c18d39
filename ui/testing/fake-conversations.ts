import { EMPTY_MESSAGE, type Message } from '@headwater/client'
import type {
  Conversation,
  ConversationAnswer,
  ConversationQuestion,
  Conversations,
  ConversationSnapshot,
  ConversationsSnapshot,
  ConversationSummary,
} from '@headwater/client/conversations'

/** What a component has called: the name of the method, then its arguments. */
export type Call = readonly [method: string, ...args: unknown[]]

const LIVE = { state: 'live', retryAt: null } as const
const WHEN = Date.UTC(2026, 10, 28, 12)

/** A question of a conversation. */
export function question(id: string, text: string, more: Partial<ConversationQuestion> = {}): ConversationQuestion {
  return { role: 'user', id, text, files: [], kind: 'ask', createdAt: WHEN, ...more }
}

/** A finished answer; `more` makes it another one. */
export function answer(id: string, text: string, { message, ...more }: Partial<Omit<ConversationAnswer, 'message'>> & { message?: Partial<Message> } = {}): ConversationAnswer {
  const finish = { type: 'finish', reason: 'stop', usage: null } as const
  const open = more.status === 'streaming' || more.status === 'interrupted'
  const ending = open ? null : more.status === 'stopped' ? ({ type: 'stop', by: 'user' } as const) : finish
  return {
    role: 'assistant',
    id,
    status: 'finished',
    message: { ...EMPTY_MESSAGE, id, model: 'scripted', text, state: open ? 'open' : 'finished', ending, ...message },
    location: `/api/streams/${id}`,
    cursor: null,
    cache: null,
    failure: null,
    bypassCache: false,
    stopping: false,
    reconnecting: false,
    timing: null,
    producedAt: null,
    createdAt: WHEN,
    saved: null,
    matched: null,
    ...more,
  }
}

/** A line of the list. */
export function summary(id: string, title: string, more: Partial<ConversationSummary> = {}): ConversationSummary {
  return { id, title, createdAt: WHEN, updatedAt: WHEN, live: false, shared: false, ...more }
}

/** An external store whose state a test sets by hand, and the calls that its components have made. */
function store<S>(first: S) {
  let snapshot = first
  const listeners = new Set<() => void>()
  const calls: Call[] = []
  const called =
    <R>(method: string, result: R) =>
    (...args: unknown[]): R => {
      calls.push([method, ...args])
      return result
    }
  return {
    calls,
    called,
    getSnapshot: () => snapshot,
    subscribe(listener: () => void) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    /** Changes the state and notifies; call it inside `act`. */
    set(part: Partial<S>) {
      snapshot = { ...snapshot, ...part }
      for (const listener of listeners) listener()
    },
  }
}

/** A conversation for component tests: it shows what `set` says, and `calls` lists what was done with it. */
export type FakeConversation = Conversation & Pick<ReturnType<typeof store<ConversationSnapshot>>, 'calls' | 'set'>

/** Makes a conversation without a server. */
export function fakeConversation(part: Partial<ConversationSnapshot> = {}): FakeConversation {
  const id = part.id ?? 'conversation'
  const { calls, called, ...rest } = store<ConversationSnapshot>({
    id,
    title: '',
    state: 'ready',
    turns: [],
    branches: new Map(),
    busy: false,
    queue: [],
    connection: LIVE,
    settings: {},
    shared: null,
    problem: null,
    ...part,
  })
  return {
    ...rest,
    calls,
    id,
    send: called('send', true),
    interrupt: called('interrupt', true),
    unqueue: (queued) => (called('unqueue', null)(queued), rest.getSnapshot().queue.find((one) => one.id === queued) ?? null),
    sendNow: called('sendNow', undefined),
    stop: called('stop', Promise.resolve()),
    regenerate: called('regenerate', undefined),
    retry: called('retry', undefined),
    edit: called('edit', true),
    choose: called('choose', undefined),
    goOn: called('goOn', undefined),
    configure: (settings) => (called('configure', undefined)(settings), rest.set({ settings })),
    share: called('share', Promise.resolve(`https://example.org/shared?id=${id}`)),
    unshare: called('unshare', Promise.resolve()),
    wake: called('wake', undefined),
    close: called('close', undefined),
  }
}

/** All conversations for component tests; `opened` holds the conversations by id, made on demand. */
export type FakeConversations = Conversations &
  Pick<ReturnType<typeof store<ConversationsSnapshot>>, 'calls' | 'set'> & { readonly opened: Map<string, FakeConversation> }

/** Makes conversations without a server. */
export function fakeConversations(part: Partial<ConversationsSnapshot> = {}, ...known: FakeConversation[]): FakeConversations {
  const { calls, called, ...rest } = store<ConversationsSnapshot>({
    state: 'ready',
    items: [],
    more: false,
    removed: [],
    connection: LIVE,
    ...part,
  })
  const opened = new Map(known.map((conversation) => [conversation.id, conversation]))
  const drafts = new Map<string, string>()
  const open = (id: string, state: ConversationSnapshot['state'] = 'ready') => {
    const found = opened.get(id) ?? fakeConversation({ id, state })
    opened.set(id, found)
    return found
  }
  const move = (id: string, from: 'items' | 'removed', to: 'items' | 'removed') => {
    const { [from]: source, [to]: target } = rest.getSnapshot()
    const found = source.filter((item) => item.id === id)
    rest.set({ [from]: source.filter((item) => item.id !== id), [to]: [...target, ...found] })
  }
  return {
    ...rest,
    calls,
    opened,
    open,
    create(from = '') {
      const made = open(`new-chat-${opened.size + 1}`, 'new')
      drafts.set(made.id, drafts.get(from) ?? '')
      drafts.delete(from)
      return made
    },
    openShared: (token) => open(`shared-${token}`),
    loadMore: called('loadMore', Promise.resolve()),
    search: called('search', Promise.resolve({ matches: [], complete: true })),
    rename(id, title) {
      called('rename', undefined)(id, title)
      rest.set({ items: rest.getSnapshot().items.map((item) => (item.id === id ? { ...item, title } : item)) })
    },
    remove: (id) => (called('remove', undefined)(id), move(id, 'items', 'removed')),
    restore: (id) => (called('restore', undefined)(id), move(id, 'removed', 'items')),
    exportAddress: (id, format) => `/api/conversations/${id}/export?format=${format}`,
    fileAddress: (id, file) => `/api/conversations/${id}/attachments/${file}`,
    importFile: called('importFile', Promise.resolve([])),
    cache: called('cache', Promise.resolve({ answers: 0, hits: 0, joins: 0, saved: { seconds: 0, tokens: 0 }, entries: 0 })),
    clearCache: called('clearCache', Promise.resolve()),
    joinAddress: called('joinAddress', Promise.resolve({ url: 'https://example.org/join/token', expiresAt: WHEN })),
    keepCopies: () => undefined,
    draft: (id) => drafts.get(id) ?? '',
    keepDraft: (id, text) => void drafts.set(id, text),
    wake: called('wake', undefined),
  }
}
