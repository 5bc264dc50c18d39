import type { ChatSnapshot, ChatStore } from '@headwater/client'
import { useSyncExternalStore } from 'react'

/** A chat's state with the things one can do to it. */
export type Chat = ChatSnapshot & Omit<ChatStore, 'subscribe' | 'getSnapshot'>

/** Where a server renders the page, the chat is empty: only the browser knows what it has stored. */
const RENDERED_BY_SERVER: ChatSnapshot = { id: '', turns: [], busy: false }

/** Renders with a chat; the store lives outside React, so a remount loses nothing. */
export function useChat(store: ChatStore): Chat {
  const snapshot = useSyncExternalStore(store.subscribe, store.getSnapshot, () => RENDERED_BY_SERVER)
  return { ...store, ...snapshot }
}
