import type { ChatSnapshot, ChatStore } from '@headwater/client'
import { useSyncExternalStore } from 'react'

/** A chat's state with the things one can do to it. */
export type Chat = ChatSnapshot & Pick<ChatStore, 'send' | 'stop' | 'regenerate' | 'retry' | 'clear'>

// A server that renders the page does not know what this browser has kept, so a chat is empty until it is hydrated.
const UNKNOWN: ChatSnapshot = { id: '', turns: [], busy: false }

/** Renders with a chat; the store lives outside React, so a remount loses nothing. */
export function useChat(store: ChatStore): Chat {
  const snapshot = useSyncExternalStore(store.subscribe, store.getSnapshot, () => UNKNOWN)
  return { ...store, ...snapshot }
}
