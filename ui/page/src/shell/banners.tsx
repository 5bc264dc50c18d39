import type { About } from '@headwater/client'
import type { Connection } from '@headwater/client/conversations'
import { useFormats } from '../words/formats'
import { useWords } from '../words/words'
import { useSecondsLeft } from './use-seconds-left'

/** Says why no question can be answered, and what to do about it; text in backticks is shown as code. */
export function ProblemBanner({ problem }: { problem: string }) {
  const { shell: words } = useWords()
  return (
    <aside className="banner banner-bad" data-testid="problem-banner" role="alert" aria-label={words.aboutServer}>
      <strong>{words.notReady}</strong> {problem.split('`').map((part, place) => (place % 2 ? <code key={place}>{part}</code> : part))}
    </aside>
  )
}

/** Says that the model at work is only for trying things out. */
export function DemoBanner({ about }: { about: About }) {
  const { shell: words } = useWords()
  return (
    <aside className="banner" data-testid="demo-banner" aria-label={words.aboutModel}>
      <strong>{words.demoModel}</strong> {about.notice ?? words.demoNotice(about.model)}
    </aside>
  )
}

/** Says that the server is away, when it is tried again, and lets a person not wait for that. */
export function ConnectionBanner({ connection: { state, retryAt }, wake }: { connection: Connection; wake: () => void }) {
  const { shell: words } = useWords()
  const { duration } = useFormats()
  const left = useSecondsLeft(state === 'live' ? null : retryAt)
  if (state === 'live') return null
  return (
    <div className="banner banner-away" data-testid="connection-banner">
      {/* The countdown is for the eye: read aloud every second it would be all one hears. */}
      <span role="status">{state === 'offline' ? words.offline : words.reconnecting}</span>
      {left > 0 && <span className="countdown">{words.retryIn(duration(left))}</span>}
      <button type="button" className="quiet" data-testid="try-now" onClick={() => wake()}>
        {words.tryNow}
      </button>
    </div>
  )
}
