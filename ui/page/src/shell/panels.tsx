import type { About } from '@headwater/client'
import type { Conversation, Conversations } from '@headwater/client/conversations'
import { Component, lazy, Suspense, type ReactNode } from 'react'

const search = () => import('./search-panel')

/** The dialogs, none of which is part of the first load. */
const PANELS = {
  search: lazy(search),
  settings: lazy(() => import('./settings-panel')),
  keys: lazy(() => import('./keys-panel')),
  cache: lazy(() => import('./cache-panel')),
  join: lazy(() => import('./join-panel')),
  share: lazy(() => import('./share-panel')),
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
export function Panel({ name, onFailure, ...props }: PanelProps & { name: PanelName; onFailure: () => void }) {
  const Shown = PANELS[name]
  return (
    <Fence key={name} onFailure={onFailure}>
      <Suspense>
        <Shown {...props} />
      </Suspense>
    </Fence>
  )
}

class Fence extends Component<{ onFailure: () => void; children: ReactNode }, { failed: boolean }> {
  override state = { failed: false }

  static getDerivedStateFromError() {
    return { failed: true }
  }

  override componentDidCatch() {
    this.props.onFailure()
  }

  override render() {
    return this.state.failed ? null : this.props.children
  }
}
