import type { Conversation, Conversations } from '@headwater/client/conversations'
import { useEffect } from 'react'
import { goTo } from './address'

const KEY = 'headwater.fresh'
const fresh = new WeakMap<Conversations, Conversation>()

/** The chat of this tab that has not begun; what was typed and set in it survives a reload. */
export function freshChat(conversations: Conversations): Conversation {
  const known = fresh.get(conversations)
  if (known && !begun(known)) return known
  // The one of the tab's last page gets another id, since it never was on the server.
  const before = known ? null : stored((kept) => kept.getItem(KEY))
  const made = conversations.create(before ?? undefined)
  fresh.set(conversations, made)
  stored((kept) => kept.setItem(KEY, made.id))
  return made
}

/** Gives a chat that has begun its own address. */
export function useFreshAddress(conversation: Conversation): void {
  useEffect(() => {
    const settle = () => {
      if (!begun(conversation)) return
      // What is typed in it from now on is its own.
      stored((kept) => kept.getItem(KEY) === conversation.id && kept.removeItem(KEY))
      if (!new URLSearchParams(location.search).has('chat')) goTo(conversation.id, true)
    }
    settle()
    return conversation.subscribe(settle)
  }, [conversation])
}

/** Whether something has been asked in it, be it only here. */
function begun(conversation: Conversation): boolean {
  const { state, turns, queue } = conversation.getSnapshot()
  return state !== 'new' || turns.length + queue.length > 0
}

function stored<T>(act: (storage: Storage) => T): T | null {
  try {
    return act(sessionStorage)
  } catch {
    // Forbidden storage costs the draft of a new chat at a reload.
    return null
  }
}
