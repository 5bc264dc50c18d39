import type { About } from '@headwater/client'
import type { Conversation, Conversations } from '@headwater/client/conversations'
import { createElement } from 'react'
import { part } from './part'

const search = () => import('./search-panel')

/** The dialogs, none of which is part of the first load. */
const PANELS = {
  search: part(search),
  settings: part(() => import('./settings-panel')),
  keys: part(() => import('./keys-panel')),
  cache: part(() => import('./cache-panel')),
  join: part(() => import('./join-panel')),
  share: part(() => import('./share-panel')),
} as const
export type PanelName = keyof typeof PANELS

/** Fetches the search once the page has nothing else to do: what is typed after its keys must not miss it. */
export function fetchSearch(): void {
  // Safari has no idle callback.
  const idle = globalThis.requestIdleCallback ?? ((act: () => void) => setTimeout(act, 2000))
  idle(() => void search().catch(() => undefined), { timeout: 5000 })
}

/** What every panel is given. */
export interface PanelProps {
  readonly conversation: Conversation
  readonly conversations: Conversations
  readonly about: About | null
  /** Opens a chat, at one of its turns where a search has found that. */
  readonly open: (chat: string, turn?: string | null) => void
  readonly onClose: () => void
}

/** Shows a panel; where it cannot be loaded the page stays as it is, and says so. */
export function Panel({ name, ...props }: PanelProps & { name: PanelName; onFailure: () => void }) {
  return createElement(PANELS[name], { key: name, ...props })
}
