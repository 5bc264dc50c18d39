import type { Conversation, Conversations, ConversationSnapshot, ConversationsSnapshot } from '@headwater/client/conversations'
import { useSyncExternalStore } from 'react'

/** Renders with a conversation. What one can do with it are the methods of `conversation` itself. */
export function useConversation({ subscribe, getSnapshot }: Conversation): ConversationSnapshot {
  return useSyncExternalStore(subscribe, getSnapshot, getSnapshot)
}

/** Renders with the list of conversations. */
export function useConversations({ subscribe, getSnapshot }: Conversations): ConversationsSnapshot {
  return useSyncExternalStore(subscribe, getSnapshot, getSnapshot)
}
