import type { About, Transport } from '@headwater/client'
import type { Conversation, Conversations, ConversationSnapshot } from '@headwater/client/conversations'
import { useConversation, useConversations } from '@headwater/react/conversations'
import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { ChatView } from './chat/chat-view'
import { goTo, useAddress } from './shell/address'
import { ConnectionBanner, DemoBanner, ProblemBanner } from './shell/banners'
import { freshChat, useFreshAddress } from './shell/fresh-chat'
import { Header } from './shell/header'
import { focusQuestion, useKeys } from './shell/keys'
import { Missing } from './shell/missing'
import { fetchSearch, Panel, type PanelName } from './shell/panels'
import { sidebarPreference, usePreference } from './shell/preference'
import { reasonOf } from './shell/reason'
import { reveal } from './shell/reveal'
import { SharedView } from './shell/shared-view'
import { Drawer, Sidebar } from './shell/sidebar'
import { Toast } from './shell/toast'
import { useMedia } from './shell/use-media'
import { useFormats } from './words/formats'
import { LanguageContext, useSpoken, type Spoken } from './words/language'
import { useWords, WordsContext } from './words/words'

interface AppProps {
  readonly conversations: Conversations
  readonly transport: Transport
  /** The language that is loaded already, so that no other one shows first. */
  readonly spoken: Spoken
}

/** The page: one chat of many, or one that somebody shares. */
export function App({ conversations, transport, spoken }: AppProps) {
  const { language, words } = useSpoken(spoken)
  const address = useAddress()
  const conversation = useMemo(() => {
    if (address.view === 'shared') return conversations.openShared(address.token)
    return address.chat === null ? freshChat(conversations) : conversations.open(address.chat)
  }, [conversations, address])
  const shared = address.view === 'shared'
  return (
    <LanguageContext value={language}>
      <WordsContext value={words}>
        {shared ? (
          <SharedView conversation={conversation} conversations={conversations} />
        ) : (
          <Desk conversation={conversation} conversations={conversations} transport={transport} />
        )}
      </WordsContext>
    </LanguageContext>
  )
}

/** The list of chats, the chat, and what opens above them. */
function Desk({ conversation, conversations, transport }: Omit<AppProps, 'spoken'> & { conversation: Conversation }) {
  const { shell: words } = useWords()
  const { number } = useFormats()
  const title = useConversation(conversation, (chat) => chat.title)
  const state = useConversation(conversation, (chat) => chat.state)
  const settings = useConversation(conversation, (chat) => chat.settings)
  const begun = useConversation(conversation, ({ turns }) => turns.length > 0)
  const failed = useConversation(conversation, hasFailed)
  const { connection } = useConversations(conversations)
  const wide = useMedia('(min-width: 60rem)')
  const [beside, setBeside] = usePreference(sidebarPreference)
  const [drawer, setDrawer] = useState(false)
  const [panel, setPanel] = useState<PanelName | null>(null)
  const [said, setSaid] = useState<string | null>(null)
  const [wanted, setWanted] = useState<string | null>(null)
  const about = useAbout(transport, failed, connection.state === 'live')
  useTitle(title)
  useEffect(() => {
    // Where people log in, the next one at this browser must not find the chats of the last.
    if (about) conversations.keepCopies(!about.keys)
  }, [about, conversations])
  useFreshAddress(conversation)
  useEffect(fetchSearch, [])

  const open = useCallback(
    (id: string, turn?: string | null) => {
      goTo(id)
      setWanted(turn ?? null)
      if (turn) reveal(conversations.open(id), turn)
    },
    [conversations],
  )
  const newChat = useCallback(() => {
    goTo(null)
    // Once the new chat's box is there; the one of a chat that is new already keeps what is in it.
    requestAnimationFrame(focusQuestion)
  }, [])
  const left = useRef<string | null>(null)
  const remove = useCallback(
    (id: string) => {
      conversations.remove(id)
      if (id !== conversation.id) return
      left.current = id
      goTo(null)
    },
    [conversations, conversation],
  )
  const restore = (id: string) => {
    conversations.restore(id)
    // Back to where one was, and not away from where one is.
    if (left.current === id) goTo(id)
  }
  const importFile = (file: File) =>
    void file
      .text()
      .then(conversations.importFile)
      .then((made) => {
        setSaid(words.imported(number(made.length)))
        if (made[0]) goTo(made[0].id)
      })
      .catch((error: unknown) => setSaid(words.importRefused(reasonOf(error))))
  useKeys({ search: () => setPanel('search'), newChat, keys: () => setPanel('keys') })

  const showsSidebar = wide && beside === 'open'
  const showsDrawer = drawer && !wide
  const sidebar = { conversations, current: conversation.id, open, newChat, remove, show: setPanel, importFile }
  const toast = <Toast conversations={conversations} restore={restore} said={said} unsay={() => setSaid(null)} />
  const known = state === 'ready' && begun
  return (
    <div className="page" data-sidebar={showsSidebar}>
      {state !== 'missing' && (
        <a
          className="skip"
          href="#ask"
          onClick={(event) => {
            event.preventDefault()
            focusQuestion()
          }}
        >
          {words.skipToQuestion}
        </a>
      )}
      {showsSidebar && <Sidebar {...sidebar} close={() => setBeside('closed')} />}
      <div className="column">
        <Header
          title={title}
          about={about}
          settings={settings}
          configure={state === 'loading' ? null : conversation.configure}
          beside={showsSidebar}
          showChats={() => (wide ? setBeside('open') : setDrawer(true))}
          newChat={newChat}
          showSettings={() => setPanel('settings')}
          rename={(title) => conversations.rename(conversation.id, title)}
          items={
            known
              ? [
                  { label: words.share, act: () => setPanel('share') },
                  { label: words.exportMarkdown, href: conversations.exportAddress(conversation.id, 'markdown') },
                  { label: words.exportJson, href: conversations.exportAddress(conversation.id, 'json') },
                  { label: words.remove, danger: true, act: () => remove(conversation.id) },
                ]
              : []
          }
        />
        {about?.problem && <ProblemBanner problem={about.problem} />}
        {about?.demo && <DemoBanner about={about} />}
        <ConnectionBanner connection={connection} wake={conversations.wake} />
        {state === 'missing' ? (
          <Missing newChat={newChat} />
        ) : (
          <ChatView key={conversation.id} conversation={conversation} conversations={conversations} about={about} wanted={wanted} />
        )}
      </div>
      {showsDrawer && (
        <Drawer {...sidebar} close={() => setDrawer(false)}>
          {toast}
        </Drawer>
      )}
      {panel && (
        <Panel
          name={panel}
          conversation={conversation}
          conversations={conversations}
          about={about}
          open={open}
          onClose={() => setPanel(null)}
          onFailure={() => {
            setPanel(null)
            setSaid(words.panelFailed)
          }}
        />
      )}
      {/* Behind an open drawer nothing can be reached. */}
      {!showsDrawer && toast}
    </div>
  )
}

function hasFailed({ turns }: ConversationSnapshot): boolean {
  const last = turns.at(-1)
  return last?.role === 'assistant' && last.status === 'failed'
}

/**
 * A server that cannot say who it is can still answer, so a failure here only leaves the header bare.
 * Asked again when an answer fails, since the server may say why and what to do, and when the server is back.
 */
function useAbout(transport: Transport, failed: boolean, live: boolean): About | null {
  const [about, setAbout] = useState<About | null>(null)
  useEffect(() => {
    if (live) transport.get<About>('api/about').then(setAbout, () => undefined)
  }, [transport, failed, live])
  return about
}

function useTitle(title: string): void {
  useEffect(() => {
    document.title = title || 'Headwater'
  }, [title])
}
