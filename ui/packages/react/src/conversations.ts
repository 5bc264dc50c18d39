import type { Conversation, Conversations, ConversationSnapshot, ConversationsSnapshot } from '@headwater/client/conversations'
import { useSyncExternalStore } from 'react'

/**
 * Renders with a conversation. What one can do with it are the methods of `conversation` itself.
 * With `select`, only when that part of the snapshot is another: a value, or an object that the snapshot holds.
 */
export function useConversation<T = ConversationSnapshot>(
  { subscribe, getSnapshot }: Conversation,
  select: (snapshot: ConversationSnapshot) => T = (snapshot) => snapshot as T,
): T {
  const selected = () => select(getSnapshot())
  return useSyncExternalStore(subscribe, selected, selected)
}

/** Renders with the list of conversations. */
export function useConversations({ subscribe, getSnapshot }: Conversations): ConversationsSnapshot {
  return useSyncExternalStore(subscribe, getSnapshot, getSnapshot)
}
