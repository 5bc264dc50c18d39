import type { Conversation, Conversations } from '@headwater/client/conversations'
import { useConversation } from '@headwater/react/conversations'
import { useEffect } from 'react'
import { ChatView } from '../chat/chat-view'
import { useWords } from '../words/words'
import { chatAddress, goTo } from './address'
import { ConnectionBanner } from './banners'
import { ThemeButton } from './header'
import { Mark } from './icons'
import { Missing } from './missing'

/** Somebody else's chat, read-only, followed while its answer is written. */
export function SharedView({ conversation, conversations }: { conversation: Conversation; conversations: Conversations }) {
  const { shell: words } = useWords()
  const title = useConversation(conversation, (chat) => chat.title)
  const state = useConversation(conversation, (chat) => chat.state)
  const connection = useConversation(conversation, (chat) => chat.connection)
  useEffect(() => {
    document.title = title || 'Headwater'
  }, [title])
  const newChat = () => goTo(null)
  return (
    <div className="page" data-testid="shared-view">
      <div className="column">
        <header className="header">
          <p className="wordmark">
            <Mark />
            <span>Headwater</span>
          </p>
          <h1 className="chat-title" dir="auto" data-testid="chat-title">
            {title || words.untitled}
          </h1>
          <div className="header-actions">
            <ThemeButton />
          </div>
        </header>
        {state !== 'missing' && (
          <aside className="banner" data-testid="shared-banner" aria-label={words.share}>
            {words.sharedNotice}{' '}
            <a
              href={chatAddress(null)}
              onClick={(event) => {
                event.preventDefault()
                newChat()
              }}
            >
              {words.startOwn}
            </a>
          </aside>
        )}
        <ConnectionBanner connection={connection} wake={conversation.wake} />
        {state === 'missing' ? <Missing shared newChat={newChat} /> : <ChatView key={conversation.id} conversation={conversation} conversations={conversations} about={null} readOnly />}
      </div>
    </div>
  )
}
