import type { Conversation, Conversations } from '@headwater/client/conversations'
import { useEffect } from 'react'
import { goTo } from './address'

const KEY = 'headwater.fresh'
const fresh = new WeakMap<Conversations, Conversation>()

/** The chat of this tab that has not begun; what was typed in it survives a reload. */
export function freshChat(conversations: Conversations): Conversation {
  const known = fresh.get(conversations)
  if (known && !begun(known)) return known
  const made = conversations.create()
  fresh.set(conversations, made)
  const before = keep(made.id)
  const draft = before === null ? '' : conversations.draft(before)
  // Of the tab's last page: its chat has another id, since it never was on the server.
  if (!known && before !== null && draft !== '') {
    conversations.keepDraft(before, '')
    conversations.keepDraft(made.id, draft)
  }
  return made
}

/** Gives a chat that has begun its own address. */
export function useFreshAddress(conversation: Conversation): void {
  useEffect(() => {
    const settle = () => {
      if (!new URLSearchParams(location.search).has('chat') && begun(conversation)) goTo(conversation.id, true)
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

function keep(id: string): string | null {
  try {
    const before = sessionStorage.getItem(KEY)
    sessionStorage.setItem(KEY, id)
    return before
  } catch {
    // Forbidden storage costs the draft of a new chat at a reload.
    return null
  }
}
