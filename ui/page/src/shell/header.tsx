import type { About } from '@headwater/client'
import { Mark, MoonIcon, NewChatIcon, SunIcon } from './icons'
import { useTheme } from './theme'

/** The name, the model that answers, and the page's two switches. */
export function Header({ about, empty, onNewChat }: { about: About | null; empty: boolean; onNewChat: () => void }) {
  const { theme, toggle } = useTheme()
  const other = theme === 'dark' ? 'light' : 'dark'
  return (
    <header className="header">
      <h1 className="wordmark">
        <Mark />
        Headwater
      </h1>
      {about && <p className="model" title={`Headwater ${about.version}`}>{about.model}</p>}
      <div className="header-actions">
        <button type="button" className="quiet" data-testid="new-chat" disabled={empty} onClick={onNewChat}>
          <NewChatIcon />
          <span>New chat</span>
        </button>
        <button type="button" className="quiet" data-testid="theme" aria-label={`Use the ${other} theme`} title={`Use the ${other} theme`} onClick={toggle}>
          {theme === 'dark' ? <SunIcon /> : <MoonIcon />}
        </button>
      </div>
    </header>
  )
}

/** Says why no question can be answered, and what to do about it; text in backticks is shown as code. */
export function ProblemBanner({ problem }: { problem: string }) {
  return (
    <aside className="demo-banner problem-banner" data-testid="problem-banner" role="alert" aria-label="About this server">
      <strong>Not ready</strong> {problem.split('`').map((part, place) => (place % 2 ? <code key={place}>{part}</code> : part))}
    </aside>
  )
}

/** Says that the model at work is only for trying things out. */
export function DemoBanner({ about }: { about: About }) {
  return (
    <aside className="demo-banner" data-testid="demo-banner" aria-label="About this model">
      <strong>Demo model</strong> {about.notice ?? `“${about.model}” is for trying out the page. Do not rely on its answers.`}
    </aside>
  )
}
