import type { Conversations } from '@headwater/client/conversations'
import { useRef, type ReactNode } from 'react'
import { useWords } from '../words/words'
import { ChatList } from './chat-list'
import { Mark, MoreIcon, NewChatIcon, SearchIcon, SidebarIcon } from './icons'
import { keyNames } from './keys'
import { Menu } from './menu'
import type { PanelName } from './panels'
import { useModal } from './use-modal'

export interface SidebarProps {
  readonly conversations: Conversations
  readonly current: string | null
  readonly open: (chat: string) => void
  readonly newChat: () => void
  readonly remove: (chat: string) => void
  readonly show: (panel: PanelName) => void
  readonly importFile: (file: File) => void
  readonly close: () => void
}

/** The list of chats beside the chat, where there is room for both. */
export function Sidebar(props: SidebarProps) {
  const { shell: words } = useWords()
  return (
    <nav className="sidebar" data-testid="sidebar" aria-label={words.chats}>
      <SidebarContent {...props} />
    </nav>
  )
}

/** The same list as a drawer over the chat of a narrow screen. */
export function Drawer({ children, ...props }: SidebarProps & { children: ReactNode }) {
  const { shell: words } = useWords()
  const frame = useModal(props.close)
  const then = <T extends unknown[]>(act: (...values: T) => void) => (...values: T) => {
    props.close()
    act(...values)
  }
  return (
    <dialog ref={frame} className="drawer" data-testid="drawer" aria-label={words.chats}>
      <nav className="sidebar" aria-label={words.chats}>
        <SidebarContent {...props} open={then(props.open)} newChat={then(props.newChat)} show={then(props.show)} importFile={then(props.importFile)} />
      </nav>
      {children}
    </dialog>
  )
}

function SidebarContent({ conversations, current, open, newChat, remove, show, importFile, close }: SidebarProps) {
  const { shell: words } = useWords()
  const file = useRef<HTMLInputElement>(null)
  return (
    <>
      <div className="sidebar-head">
        <p className="wordmark">
          <Mark />
          Headwater
        </p>
        <button type="button" className="quiet" aria-label={words.closeChats} title={words.closeChats} data-testid="close-chats" onClick={close}>
          <SidebarIcon />
        </button>
      </div>
      <div className="sidebar-actions">
        <button type="button" className="quiet" onClick={newChat} title={keyNames('ctrl', 'shift', 'O')}>
          <NewChatIcon />
          <span>{words.newChat}</span>
        </button>
        <button type="button" className="quiet" data-testid="open-search" onClick={() => show('search')}>
          <SearchIcon />
          <span>{words.search}</span>
          <kbd>{keyNames('ctrl', 'K')}</kbd>
        </button>
      </div>
      <div className="sidebar-list">
        <ChatList conversations={conversations} current={current} open={open} remove={remove} />
      </div>
      <div className="sidebar-foot">
        <Menu
          label={words.more}
          items={[
            { label: words.cache, act: () => show('cache') },
            { label: words.secondDevice, act: () => show('join') },
            { label: words.importFile, act: () => file.current?.click() },
            { label: words.keys, act: () => show('keys') },
          ]}
        >
          <MoreIcon />
          <span>{words.more}</span>
        </Menu>
        <input
          ref={file}
          type="file"
          accept=".json,application/json"
          hidden
          data-testid="import-file"
          onChange={({ currentTarget }) => {
            const chosen = currentTarget.files?.[0]
            if (chosen) importFile(chosen)
            // The same file once more is a change, too.
            currentTarget.value = ''
          }}
        />
      </div>
    </>
  )
}
