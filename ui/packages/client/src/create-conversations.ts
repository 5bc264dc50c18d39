import { newId } from './chat.js'
import type { ConversationMatch, Conversations, ConversationsSnapshot, ConversationSummary } from './conversations-types.js'
import { createCopies } from './copies.js'
import { createDeletions } from './deletions.js'
import { createDrafts, DRAFT } from './drafts.js'
import type { Port } from './follow-types.js'
import { createLink, hurried, type LinkOptions } from './link.js'
import { LiveConversation, SETTINGS } from './live-conversation.js'
import { createOutbox } from './outbox.js'
import { delay } from './patience.js'
import { createPublisher } from './publisher.js'
import { createRequests, type WireList } from './requests.js'
import { sharedTransport } from './shared-transport.js'
import { createShelf } from './shelf.js'
import { titleOf } from './title.js'
import type { Surroundings } from './surroundings.js'
import { createTransport, ProblemError, type Transport } from './transport.js'
import { summaryOf, type WireSummary } from './wire.js'

/** The server that the conversations are on, and the browser around them. */
export interface ConversationsOptions extends LinkOptions {
  /** The server's root: an address, or a path of the page's own server. */
  readonly base?: string
  readonly fetch?: typeof globalThis.fetch
  /** What answers are read and stopped through; by default, made of `base` and `fetch`. */
  readonly transport?: Transport
  /** The port of a `SharedWorker` that runs `createFollower`: all tabs then read over one connection. */
  readonly connect?: () => Port | null
  /** Where questions, drafts and deletions wait; `localStorage` by default. */
  readonly storage?: () => Storage
  /** Milliseconds between two notifications while text streams; read anew each time. */
  readonly pace?: () => number
  /** The key under which an earlier version of the page kept its one chat; it is imported once. */
  readonly oneChat?: string
  /** Milliseconds between two looks at what other devices have done, while the page is visible. */
  readonly interval?: number
}

/** The conversations of this visitor, with what a page must end. */
export interface OpenConversations extends Conversations {
  /** Ends all reading and waiting. What has not been sent waits in the storage. */
  readonly close: () => void
  /** Tells the server what cannot wait: call it when the page goes. */
  readonly flush: () => void
}

const PAGE = 50
const INTERVAL = 15_000
const HEARING = 200
const ORPHANED = 30_000
/** The list's name among the copies, which no conversation has. */
const LIST = ''

/** Makes the conversations of a visitor: create them once, outside of any component. */
export function createConversations(options: ConversationsOptions = {}): OpenConversations {
  const { base = '/', fetch = (...request) => globalThis.fetch(...request), interval = INTERVAL } = options
  const { connect, transport: direct = createTransport(base, fetch), hidden = () => globalThis.document?.hidden ?? false } = options
  const transport = connect ? sharedTransport(direct, base, connect) : direct
  const path = new URL(base, globalThis.location?.href ?? 'http://localhost').pathname
  const shelf = createShelf(`headwater:${path}:`, options.storage)
  const copies = createCopies(`headwater-copies:${path}`)
  const link = createLink(options)
  const requests = createRequests(base, fetch, () => link.state().state === 'live')
  const outbox = createOutbox(shelf)
  const drafts = createDrafts(shelf)
  const publisher = createPublisher(() => 0)
  const opened = new Map<string, LiveConversation>()
  const channel = openChannel(`headwater:${path}`)
  const life = new AbortController()

  let lines: ConversationSummary[] = []
  let next: string | null = null
  let tag: string | null = null
  let state: ConversationsSnapshot['state'] = 'loading'
  let snapshot: ConversationsSnapshot | null = null
  const changed = () => {
    snapshot = null
    publisher.now()
  }
  const deletions = createDeletions(shelf, requests, link, life.signal, (id, how) => {
    if (how === 'settled') {
      opened.get(id)?.end()
      copies.drop(id)
      drafts.keep(id, '')
      lines = lines.filter((line) => line.id !== id)
    }
    if (how === 'settled' || how === 'elsewhere') {
      tag = null
      void refresh()
    }
    if (how === 'elsewhere') void opened.get(id)?.load()
    tell({ type: 'removed', settled: how === 'settled' ? id : null })
    changed()
  })
  link.subscribe(changed)

  /** Puts one line into the list, at its place. */
  const put = (line: ConversationSummary) => {
    lines = [line, ...lines.filter(({ id }) => id !== line.id)].sort((one, other) => other.updatedAt - one.updatedAt)
    changed()
  }
  const tell = (message: Told) => channel?.postMessage(message)
  const update = (id: string, summary: WireSummary | null) => {
    again = true
    if (summary) put(summaryOf(summary))
    else {
      const known = lines.find((line) => line.id === id)
      const { title, busy, shared } = opened.get(id)?.line() ?? { title: '', busy: false, shared: null }
      const [first] = outbox.of(id)
      const now = known && !first ? known.updatedAt : Date.now()
      put({ id, title: title || titleOf(first?.text ?? ''), createdAt: known?.createdAt ?? now, updatedAt: now, live: busy, shared: shared !== null })
    }
    tell({ type: 'changed', id })
  }

  const take = (list: WireList) => {
    const fresh = list.conversations.map(summaryOf)
    const ids = new Set(fresh.map(({ id }) => id))
    const waiting = new Set(outbox.conversations())
    const last = fresh.at(-1)?.updatedAt ?? 0
    // Later pages stay as they are; a chat that the server does not have yet stays as long as its question waits.
    const kept = lines.filter(({ id, updatedAt }) => !ids.has(id) && (waiting.has(id) || (list.next !== null && updatedAt <= last)))
    lines = [...fresh, ...kept].sort((one, other) => other.updatedAt - one.updatedAt)
    if (state === 'loading' || kept.length === 0) next = list.next
    state = 'ready'
    changed()
  }

  let refreshing: Promise<void> | null = null
  let again = false
  const refresh = (): Promise<void> => {
    again = true
    return (refreshing ??= load().finally(() => (refreshing = null)))
  }
  const load = async () => {
    while (again && !life.signal.aborted) {
      try {
        again = false
        const { tag: seen, body } = await requests.list(tag, PAGE)
        link.ok()
        // What has changed since the request makes its answer old.
        if (again) continue
        tag = seen
        if (body) take(body)
        if (body) copies.put(LIST, body)
      } catch (error) {
        if (error instanceof ProblemError && !error.retryable) return link.ok()
        again = true
        void recall()
        await delay(link.failed(), life.signal, link.wakes)
      }
    }
  }
  const recall = async () => {
    const copy = state === 'loading' ? ((await copies.get(LIST)) as WireList | null) : null
    if (copy && state === 'loading') take(copy)
  }

  const around: Surroundings = { requests, transport: hurried(transport, link), link, outbox, shelf, copies, pace: options.pace, hasDraft: (id) => drafts.get(id) !== '', changed: update }
  const open = (id: string, how: 'new' | 'loading' = 'loading', more: Partial<Surroundings> = {}, key = id): LiveConversation => {
    const found = opened.get(key)
    if (found) found.resume()
    const conversation = found ?? new LiveConversation(id, { ...around, ...more }, how)
    opened.set(key, conversation)
    return conversation
  }

  const retitle = async (id: string, title: string) => {
    while (!life.signal.aborted) {
      try {
        update(id, await requests.change(id, { title }))
        return link.ok()
      } catch (error) {
        if (error instanceof ProblemError && !error.retryable) return void refresh()
        await delay(link.failed(), life.signal, link.wakes)
      }
    }
  }

  /** Looks at what other tabs and devices have done. */
  const look = () => {
    void refresh()
    for (const conversation of opened.values()) if (conversation.watched) void conversation.load()
    // The tab that asked has gone, or it would have been sent.
    for (const id of outbox.conversations(ORPHANED)) if (!opened.has(id)) open(id)
  }
  let hearing: ReturnType<typeof setTimeout> | undefined
  const hear = (message: Told) => {
    if (message.type === 'removed') return deletions.look(message.settled)
    opened.get(message.id)?.look()
    // Several tabs tell of the same answer.
    hearing ??= setTimeout(() => {
      hearing = undefined
      void refresh()
    }, HEARING)
  }
  if (channel) channel.onmessage = ({ data }: MessageEvent<Told>) => hear(data)
  if (globalThis.document) {
    addEventListener('pagehide', deletions.flush, life)
    // Said at once, and not only by the next request that fails.
    addEventListener('offline', () => void refresh(), life)
  }
  const timer = setInterval(() => hidden() || look(), interval)
  const sleep = link.wakes(() => void (state === 'ready' && look()))

  /** Of two tabs only one may import it; what fails is tried again by the next page. */
  const importOneChat = async (key: string) => {
    // Few browsers have such a chat, so few have to load this.
    const { createOneChat } = await import('./one-chat.js')
    await alone(`${path}:import`, async () => {
      const chat = createOneChat(key, options.storage)
      const file = await chat.file(transport)
      if (!file) return
      await requests.importFile(file)
      chat.done()
      await refresh()
    })
  }
  const { oneChat } = options

  deletions.look()
  void refresh()
  if (oneChat !== undefined && createShelf(oneChat, options.storage).get('') !== null) importOneChat(oneChat).catch(() => undefined)
  // What was asked before the page went, by this tab or one that has gone, is sent now.
  for (const id of outbox.conversations()) {
    open(id)
    update(id, null)
  }

  return {
    subscribe: publisher.subscribe,
    getSnapshot: () =>
      (snapshot ??= {
        state,
        items: lines.filter(({ id }) => !deletions.has(id)),
        more: next !== null,
        removed: deletions.list(),
        connection: link.state(),
      }),
    open: (id) => open(id),
    create(from = '') {
      const id = newId()
      for (const kind of [DRAFT, SETTINGS]) {
        const kept = shelf.get(kind + from)
        if (kept !== null) shelf.put(kind + id, kept)
        shelf.drop(kind + from)
      }
      return open(id, 'new')
    },
    openShared: (token) => open(token, 'loading', { shared: token, transport: publicTransport(around.transport, token), changed: () => undefined }, `shared:${token}`),
    async loadMore() {
      if (next === null) return
      const list = await requests.more(next, PAGE)
      const known = new Set(lines.map(({ id }) => id))
      lines = [...lines, ...list.conversations.map(summaryOf).filter(({ id }) => !known.has(id))]
      next = list.next
      changed()
    },
    async search(words, signal) {
      const { conversations, complete = true } = await requests.search(words, signal)
      const matches = conversations
        .filter(({ id }) => !deletions.has(id))
        .map((found): ConversationMatch => ({ ...summaryOf(found), message: found.match?.message ?? null, excerpt: found.match?.text ?? '' }))
      return { matches, complete }
    },
    rename(id, title) {
      const known = lines.find((line) => line.id === id)
      if (known) put({ ...known, title })
      const conversation = opened.get(id)
      if (conversation) conversation.change({ title })
      else void retitle(id, title)
    },
    remove(id) {
      const now = Date.now()
      deletions.add(lines.find((line) => line.id === id) ?? { id, title: '', createdAt: now, updatedAt: now, live: false, shared: false })
    },
    restore: (id) => deletions.restore(id),
    exportAddress: requests.exportAddress,
    fileAddress: (id, file) => requests.fileAddress(id, file, opened.has(`shared:${id}`)),
    async importFile(json) {
      const { conversations } = await requests.importFile(parsed(json))
      await refresh()
      return conversations.map(summaryOf)
    },
    cache: requests.cache,
    async clearCache() {
      await requests.clearCache()
      look()
    },
    async joinAddress() {
      const { url, expires_at } = await requests.joinLink()
      return { url: requests.address(url), expiresAt: Date.parse(expires_at) }
    },
    keepCopies: copies.allow,
    draft: drafts.get,
    keepDraft: drafts.keep,
    wake() {
      link.wake()
      look()
    },
    flush: deletions.flush,
    close() {
      if (life.signal.aborted) return
      life.abort()
      clearInterval(timer)
      clearTimeout(hearing)
      sleep()
      channel?.close()
      for (const conversation of opened.values()) conversation.close()
    },
  }
}

/** Runs it while no other tab of this browser does, where the browser has locks. */
async function alone(name: string, act: () => Promise<void>): Promise<void> {
  const { locks } = globalThis.navigator ?? {}
  await (locks ? locks.request(name, act) : act())
}

/** What one tab tells the others. */
type Told = { readonly type: 'changed'; readonly id: string } | { readonly type: 'removed'; readonly settled: string | null }

function openChannel(name: string): BroadcastChannel | null {
  if (!globalThis.BroadcastChannel) return null
  const channel = new BroadcastChannel(name)
  // Under Node, an open channel would keep the process alive.
  ;(channel as { unref?: () => void }).unref?.()
  return channel
}

/** Reads the answers of a shared conversation, whose logs have one address for all. */
function publicTransport(transport: Transport, token: string): Transport {
  const location = `api/shared/${encodeURIComponent(token)}/stream`
  return {
    ...transport,
    read: (_, cursor, signal) => transport.read(location, cursor, signal),
    // The conversation has the answer that has ended.
    get: () => Promise.reject(new ProblemError(410, 'gone', 'The answer has ended.', false, null)),
  }
}

function parsed(json: string): object {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    value = null
  }
  if (typeof value === 'object' && value !== null) return value
  throw new ProblemError(422, 'invalid_import', 'The file is not an exported conversation.', false, null)
}
