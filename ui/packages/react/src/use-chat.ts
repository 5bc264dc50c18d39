import type { ChatSnapshot, ChatStore } from '@headwater/client'
import { useSyncExternalStore } from 'react'

/** A chat's state with the things one can do to it. */
export type Chat = ChatSnapshot & Pick<ChatStore, 'send' | 'stop' | 'regenerate' | 'retry' | 'clear'>

/** Renders with a chat; the store lives outside React, so a remount loses nothing. */
export function useChat(store: ChatStore): Chat {
  const snapshot = useSyncExternalStore(store.subscribe, store.getSnapshot, store.getSnapshot)
  const { send, stop, regenerate, retry, clear } = store
  return { ...snapshot, send, stop, regenerate, retry, clear }
}
