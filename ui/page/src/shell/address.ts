import { useSyncExternalStore } from 'react'

/** What the address bar names: a chat by its id, a new chat (null), or a shared one by its token. */
export type Address = { readonly view: 'chat'; readonly chat: string | null } | { readonly view: 'shared'; readonly token: string }

const listeners = new Set<() => void>()
let seen = ''
let address: Address = { view: 'chat', chat: null }

/** The root of the page, whatever path it is mounted at; `/shared` lies beside the index. */
export const root = (): URL => new URL('.', location.href.split(/[?#]/)[0])

function current(): Address {
  const { pathname, search } = location
  if (seen !== pathname + search) {
    seen = pathname + search
    const query = new URLSearchParams(search)
    address = pathname.endsWith('/shared') ? { view: 'shared', token: query.get('id') ?? '' } : { view: 'chat', chat: query.get('chat') }
  }
  return address
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  window.addEventListener('popstate', listener)
  return () => {
    listeners.delete(listener)
    window.removeEventListener('popstate', listener)
  }
}

/** The address as it stands; a new object for every change. */
export function useAddress(): Address {
  return useSyncExternalStore(subscribe, current)
}

/** The address of a chat, for links; null is a new one. */
export function chatAddress(chat: string | null): string {
  const url = root()
  if (chat !== null) url.searchParams.set('chat', chat)
  return url.href
}

/** Shows a chat: a new entry of the history, or in place of the current one. */
export function goTo(chat: string | null, replace = false): void {
  const url = chatAddress(chat)
  if (url !== location.href) history[replace ? 'replaceState' : 'pushState'](null, '', url)
  for (const listener of listeners) listener()
}
