import type { About } from '@headwater/client'
import type { ChatSettings } from '@headwater/client/conversations'
import { useState } from 'react'
import { useWords } from '../words/words'
import { TitleField } from './chat-list'
import { Mark, MoonIcon, NewChatIcon, SettingsIcon, SidebarIcon, SunIcon } from './icons'
import { Menu, type MenuItem } from './menu'
import { modelsOf } from './models'
import { useTheme } from './theme'

interface HeaderProps {
  readonly title: string
  readonly about: About | null
  readonly settings: ChatSettings
  /** Null while the settings are not known. */
  readonly configure: ((settings: ChatSettings) => void) | null
  /** Whether the list of chats stands beside the chat, with the name and its own button. */
  readonly beside: boolean
  readonly showChats: () => void
  readonly newChat: () => void
  readonly showSettings: () => void
  /** What can be done with this chat; none while the server does not know it. */
  readonly items: readonly MenuItem[]
  readonly rename: (title: string) => void
}

/** The title of the chat, the model that answers, and the page's switches. */
export function Header({ title, about, settings, configure, beside, showChats, newChat, showSettings, items, rename }: HeaderProps) {
  const { shell: words } = useWords()
  const [renaming, setRenaming] = useState(false)
  const known = items.length > 0
  const renamed = (name: string | null) => {
    setRenaming(false)
    if (name !== null) rename(name)
  }
  return (
    <header className="header">
      {!beside && (
        <button type="button" className="quiet" data-testid="open-chats" aria-label={words.openChats} title={words.openChats} onClick={showChats}>
          <SidebarIcon />
        </button>
      )}
      {!beside && (
        <p className="wordmark">
          <Mark />
          <span>Headwater</span>
        </p>
      )}
      {renaming ? (
        <TitleField title={title} done={renamed} />
      ) : (
        <h1 className="chat-title" dir="auto" data-testid="chat-title" title={title || undefined} onDoubleClick={() => known && setRenaming(true)}>
          {title || (known ? words.untitled : words.newChat)}
        </h1>
      )}
      {about && <ModelPicker about={about} settings={settings} configure={configure} />}
      <div className="header-actions">
        {known && <Menu label={words.menuOf(title || words.untitled)} items={[{ label: words.rename, act: () => setRenaming(true) }, ...items]} />}
        <button type="button" className="quiet" data-testid="settings" aria-label={words.settings} title={words.settings} onClick={showSettings}>
          <SettingsIcon />
        </button>
        <ThemeButton />
        <button type="button" className="quiet" data-testid="new-chat" aria-label={words.newChat} title={words.newChat} onClick={newChat}>
          <NewChatIcon />
          {!beside && <span>{words.newChat}</span>}
        </button>
      </div>
    </header>
  )
}

function ModelPicker({ about, settings, configure }: Pick<HeaderProps, 'settings' | 'configure'> & { about: About }) {
  const { shell: words } = useWords()
  const models = modelsOf(about)
  if (models.length < 2) return <p className="model" title={`Headwater ${about.version}`}>{about.model}</p>
  return (
    <select
      className="model"
      data-testid="model-picker"
      aria-label={words.chooseModel}
      title={words.chooseModel}
      value={settings.model ?? about.model}
      disabled={configure === null}
      onChange={({ target }) => configure?.({ ...settings, model: target.value })}
    >
      {models.map((model) => (
        <option key={model}>{model}</option>
      ))}
    </select>
  )
}

/** Changes between light and dark. */
export function ThemeButton() {
  const { shell: words } = useWords()
  const { seen, choose } = useTheme()
  const other = seen === 'dark' ? 'light' : 'dark'
  return (
    <button type="button" className="quiet theme" data-testid="theme" aria-label={words.theme(other)} title={words.theme(other)} onClick={() => choose(other)}>
      {other === 'light' ? <SunIcon /> : <MoonIcon />}
    </button>
  )
}
