import { useWords } from '../words/words'
import { chatAddress } from './address'
import { Mark } from './icons'

/** What is shown where an address leads to no chat. */
export function Missing({ shared = false, newChat }: { shared?: boolean; newChat: () => void }) {
  const { shell: words } = useWords()
  return (
    <main>
      <section className="empty" data-testid="missing">
        <Mark size={56} />
        <h2>{words.missingTitle}</h2>
        <p>{shared ? words.sharedMissing : words.missingText}</p>
        <a
          className="button"
          href={chatAddress(null)}
          onClick={(event) => {
            event.preventDefault()
            newChat()
          }}
        >
          {shared ? words.startOwn : words.newChat}
        </a>
      </section>
    </main>
  )
}
