import { afterEach, beforeEach } from 'vitest'
import { ConversationServer } from '../../../testing/conversation-server.js'
import { ScriptedLog } from '../../../testing/log-server.js'
import { MemoryStorage } from '../../../testing/memory-storage.js'
import { createConversations, type ConversationsOptions, type OpenConversations } from './conversations.js'
import type { Conversation, ConversationAnswer, ConversationSnapshot } from './conversations-types.js'
import type { LogEvent } from './events.js'

export const START: LogEvent = { type: 'start', message_id: 'm', model: 'scripted' }
export const FINISH: LogEvent = { type: 'finish', reason: 'stop', usage: { output_tokens: 2 } }
export const text = (words: string): LogEvent => ({ type: 'text-delta', text: words })

export let server: ConversationServer
export let storage: MemoryStorage
/** The logs of the answers, in the order in which they were asked for. */
export let logs: ScriptedLog[]
let tabs: OpenConversations[]

/** Gives every test of a file a server and a browser of its own. */
export function useServer(): void {
  beforeEach(async () => {
    server = await new ConversationServer().start()
    storage = new MemoryStorage()
    logs = []
    tabs = []
    server.answer = () => {
      const log = new ScriptedLog(`log-${logs.length + 1}`, [START])
      logs.push(log)
      return log
    }
  })
  afterEach(async () => {
    for (const tab of tabs) tab.close()
    await server.close()
  })
}

/** Opens a tab of the browser. */
export function openTab(more: ConversationsOptions = {}): OpenConversations {
  const tab = createConversations({ base: server.url, storage: () => storage, wakes: () => () => undefined, pace: () => 0, interval: 60_000, ...more })
  tabs.push(tab)
  return tab
}

/** Resolves with the first snapshot for which a condition holds. */
export function until<S>({ subscribe, getSnapshot }: { subscribe: (listener: () => void) => () => void; getSnapshot: () => S }, condition: (snapshot: S) => boolean): Promise<S> {
  return new Promise((resolve) => {
    const look = () => condition(getSnapshot()) && (leave(), resolve(getSnapshot()), true)
    const leave = subscribe(() => void look())
    look()
  })
}

export const answerOf = ({ turns }: ConversationSnapshot) => turns.at(-1) as ConversationAnswer
export const begun = (chat: Conversation) => until(chat, (now) => now.busy && answerOf(now).location !== null)
export const idle = (chat: Conversation) => until(chat, ({ state, busy, turns }) => state === 'ready' && !busy && turns.length > 0)
export const texts = ({ turns }: ConversationSnapshot) => turns.map((turn) => (turn.role === 'user' ? turn.text : turn.message.text))
/** The bodies of the questions that the server was asked. */
export const asks = () => server.requests('POST', /\/messages$/).map(({ body }) => JSON.parse(body) as Record<string, unknown>)
