import type { Conversations, ConversationSummary } from '@headwater/client/conversations'
import { memo, useLayoutEffect, useRef, useState, useSyncExternalStore, type KeyboardEvent, type MouseEvent } from 'react'
import { useFormats } from '../words/formats'
import { useWords } from '../words/words'
import { chatAddress } from './address'
import { dayGroups, type DayGroup } from './day-groups'
import { Menu } from './menu'

interface ChatListProps {
  readonly conversations: Conversations
  readonly current: string | null
  readonly open: (chat: string) => void
  readonly remove: (chat: string) => void
}

/** The chats, newest first, by day. */
export function ChatList({ conversations, current, open, remove }: ChatListProps) {
  const { shell: words } = useWords()
  const { month } = useFormats()
  const { state, items, more } = useSyncExternalStore(conversations.subscribe, conversations.getSnapshot)
  const nameOf = (name: DayGroup['name']) => (typeof name === 'string' ? words[name] : month(name))
  if (items.length === 0) return <p className="chats-empty">{state === 'loading' ? words.loading : words.noChats}</p>
  return (
    <div className="chats">
      {dayGroups(items, Date.now()).map(({ name, items: group }) => (
        <section key={String(name)} aria-label={nameOf(name)}>
          <h3>{nameOf(name)}</h3>
          <ul>
            {group.map((chat) => (
              <ChatRow key={chat.id} chat={chat} current={chat.id === current} conversations={conversations} open={open} remove={remove} />
            ))}
          </ul>
        </section>
      ))}
      {more && (
        <button type="button" className="quiet chats-more" onClick={() => void conversations.loadMore().catch(() => conversations.wake())}>
          {words.more}
        </button>
      )}
    </div>
  )
}

interface ChatRowProps extends Pick<ChatListProps, 'conversations' | 'open' | 'remove'> {
  readonly chat: ConversationSummary
  readonly current: boolean
}

const ChatRow = memo(function ChatRow({ chat, current, conversations, open, remove }: ChatRowProps) {
  const { shell: words } = useWords()
  const [renaming, setRenaming] = useState(false)
  const link = useRef<HTMLAnchorElement>(null)
  const title = chat.title || words.untitled
  const onClick = (event: MouseEvent) => {
    // A new tab stays the browser's.
    if (event.ctrlKey || event.metaKey || event.shiftKey) return
    event.preventDefault()
    open(chat.id)
  }
  const onKeyDown = (event: KeyboardEvent) => event.key === 'F2' && setRenaming(true)
  const rename = (name: string | null) => {
    setRenaming(false)
    if (name !== null) conversations.rename(chat.id, name)
    // The field that had the focus has gone.
    requestAnimationFrame(() => link.current?.focus())
  }
  if (renaming) return (
    <li className="chat-row">
      <TitleField title={title} done={rename} />
    </li>
  )
  return (
    <li className="chat-row" data-testid="chat-row" data-current={current || undefined}>
      <a
        ref={link}
        href={chatAddress(chat.id)}
        aria-current={current ? 'page' : undefined}
        dir="auto"
        title={title}
        onClick={onClick}
        onDoubleClick={() => setRenaming(true)}
        onKeyDown={onKeyDown}
      >
        {title}
      </a>
      {chat.live && <span className="live-dot" role="img" aria-label={words.answering} title={words.answering} data-testid="live-dot" />}
      <Menu
        label={words.menuOf(title)}
        items={[
          { label: words.rename, act: () => setRenaming(true) },
          { label: words.exportMarkdown, href: conversations.exportAddress(chat.id, 'markdown') },
          { label: words.exportJson, href: conversations.exportAddress(chat.id, 'json') },
          { label: words.remove, danger: true, act: () => remove(chat.id) },
        ]}
      />
    </li>
  )
})

/** A title being edited: Enter and leaving the field keep it, Esc does not. Null where it is to stay what is shown. */
export function TitleField({ title, done }: { title: string; done: (title: string | null) => void }) {
  const { shell: words } = useWords()
  const field = useRef<HTMLInputElement>(null)
  const settled = useRef(false)
  const settle = (typed: string) => {
    // Taking the field away makes it lose the focus, which is not a second answer.
    if (settled.current) return
    settled.current = true
    const name = typed.trim()
    done(name === '' || name === title ? null : name)
  }
  useLayoutEffect(() => {
    field.current?.focus()
    field.current?.select()
  }, [])
  const onKeyDown = (event: KeyboardEvent<HTMLInputElement>) => {
    if (event.nativeEvent.isComposing || (event.key !== 'Enter' && event.key !== 'Escape')) return
    // Esc of a drawer around it would close that.
    event.preventDefault()
    event.stopPropagation()
    settle(event.key === 'Enter' ? event.currentTarget.value : title)
  }
  return (
    <input
      ref={field}
      className="title-field"
      data-testid="title-field"
      aria-label={words.titleOf(title)}
      dir="auto"
      maxLength={200}
      defaultValue={title}
      onKeyDown={onKeyDown}
      onBlur={(event) => settle(event.currentTarget.value)}
    />
  )
}
