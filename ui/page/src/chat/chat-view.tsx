import type { About } from '@headwater/client'
import type { Conversation, Conversations, QuestionFile } from '@headwater/client/conversations'
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import { EmptyState } from '../shell/empty-state'
import { DownIcon } from '../shell/icons'
import { useWords } from '../words/words'
import { Composer } from './ask/composer'
import { coarse } from './ask/enter'
import { Announcer } from './hearing/announcer'
import { useDoneNotice } from './hearing/use-done-notice'
import { FailureNote } from './turns/failure-note'
import { useTurnList } from './turns/later'
import { moveByKey } from './turns/turn-keys'
import type { TurnActions } from './turns/turn-list'
import { useScroll } from './use-scroll'

export interface ChatViewProps {
  readonly conversation: Conversation
  readonly conversations: Conversations
  readonly about: About | null
  /** A shared conversation: nothing to ask, stop or change. */
  readonly readOnly?: boolean
  /** A turn that is to be in the page, however long ago it was. */
  readonly wanted?: string | null
}

// How long a wish of this page's person moves the view to what comes of it.
const WISH = 5000

/** One conversation: its turns, and the box that asks. The shell gives it a new `key` for each conversation. */
export function ChatView({ conversation, conversations, about, readOnly = false, wanted = null }: ChatViewProps) {
  const words = useWords()
  const { chat } = words
  const snapshot = useSyncExternalStore(conversation.subscribe, conversation.getSnapshot)
  const { turns, branches, busy, state, queue, problem } = snapshot
  const list = useRef<HTMLElement>(null)
  const spacer = useRef<HTMLDivElement>(null)
  const dock = useRef<HTMLElement>(null)
  const TurnList = useTurnList()
  const scroll = useScroll({ list, spacer, dock }, turns.length > 0 && TurnList !== null)
  const [editing, setEditing] = useState<string | null>(null)
  const wish = useRef<{ at: number; focus: boolean } | null>(null)
  const last = turns.at(-1)
  const answer = last?.role === 'assistant' ? last : undefined
  const notice = useDoneNotice({ busy, title: snapshot.title }, { ready: chat.doneTitle, done: chat.done })

  const want = (focus = false) => void (wish.current = { at: Date.now(), focus })
  const focusBox = () => {
    // On a phone the box would bring its keyboard with it.
    const box = document.getElementById('ask')
    if (coarse()) turnElements().at(-1)?.focus({ preventScroll: true })
    else box?.focus({ preventScroll: true })
  }
  const ask = (text: string, files: readonly QuestionFile[], now = false) => {
    if (!busy || now) want()
    return now ? conversation.interrupt(text, files) : conversation.send(text, files)
  }
  const stop = () => {
    // The button under the pointer is about to go, and the focus with it.
    focusBox()
    void conversation.stop()
  }
  const editLast = () => setEditing(turns.findLast((turn) => turn.role === 'user' && turn.kind === 'ask')?.id ?? null)

  // What the turns may do, with the newest state, but as one object: a token must not render every turn.
  const doing = useRef({} as Pick<TurnActions, 'edit' | 'ask' | 'choose' | 'regenerate' | 'retry' | 'goOn'>)
  doing.current = {
    edit: setEditing,
    ask(question, text) {
      want()
      if (!conversation.edit(question, text)) return
      setEditing(null)
      focusBox()
    },
    choose(turn, control) {
      const shown = control.closest<HTMLElement>('[data-turn]')
      if (!shown) return
      const direction = control.dataset.direction ?? null
      flipped.current = { index: turnElements().indexOf(shown), direction }
      scroll.keep(shown, control)
      conversation.choose(turn)
    },
    regenerate(id) {
      want(true)
      conversation.regenerate(id)
    },
    retry() {
      want(true)
      conversation.retry()
    },
    goOn() {
      want(true)
      conversation.goOn()
    },
  }
  const keys = about?.keys ?? false
  const actions = useMemo(
    (): TurnActions => ({
      edit: (question) => doing.current.edit(question),
      ask: (question, text) => doing.current.ask(question, text),
      choose: (turn, control) => doing.current.choose(turn, control),
      regenerate: (id) => doing.current.regenerate(id),
      retry: () => doing.current.retry(),
      goOn: () => doing.current.goOn(),
      fileAddress: (file) => conversations.fileAddress(conversation.id, file),
      keys,
    }),
    [conversation, conversations, keys],
  )

  // A new turn that this person wished for goes to the top; one that came by itself only moves a view that was at its end.
  const shown = useRef<string | null>(null)
  const flipped = useRef<{ index: number; direction: string | null } | null>(null)
  useLayoutEffect(() => {
    const { current: flip } = flipped
    const before = shown.current
    const id = last?.id ?? null
    shown.current = id
    if (flip) {
      flipped.current = null
      const picker = turnElements()[flip.index]?.querySelector<HTMLElement>('.branch-picker')
      picker?.querySelector<HTMLElement>(`[data-direction=${flip.direction ?? 'next'}]`)?.focus({ preventScroll: true })
      return
    }
    if (id === before || (before === null && wish.current === null)) return
    const wished = wish.current !== null && Date.now() - wish.current.at < WISH ? wish.current : null
    wish.current = null
    const question = turns.findLast(({ role }) => role === 'user')
    if (question && (wished || !scroll.away)) scroll.toTop(question.id)
    if (wished?.focus) turnElements().at(-1)?.focus({ preventScroll: true })
  })

  // Closing the editor gives the focus back to where it was opened.
  const opened = useRef<{ id: string; from: Element | null } | null>(null)
  useLayoutEffect(() => {
    if (editing !== null) return
    const { current: closed } = opened
    opened.current = null
    if (closed === null || document.activeElement !== document.body) return
    const back = closed.from?.isConnected ? closed.from : list.current?.querySelector(`[data-turn="${CSS.escape(closed.id)}"] [data-testid=edit]`)
    if (back instanceof HTMLElement) back.focus({ preventScroll: true })
  }, [editing])
  if (editing !== null && opened.current?.id !== editing) opened.current = { id: editing, from: document.activeElement }

  const onKey = useRef<(event: KeyboardEvent) => void>(() => {})
  onKey.current = (event) => {
    if (event.defaultPrevented || event.isComposing || document.querySelector('dialog[open], [aria-modal=true]')) return
    if (moveByKey(event, { turns: turnElements, box: () => document.getElementById('ask') })) event.preventDefault()
    else if (event.key === 'Escape' && busy && !readOnly) stop()
  }
  useEffect(() => {
    const listener = (event: KeyboardEvent) => onKey.current(event)
    window.addEventListener('keydown', listener)
    return () => window.removeEventListener('keydown', listener)
  }, [])

  const turnElements = useCallback(() => [...(list.current?.querySelectorAll<HTMLElement>('[data-turn]') ?? [])], [])
  const jump = scroll.away && (
    <button type="button" className="round jump" data-testid="to-latest" aria-label={chat.toLatest} title={chat.toLatest} onClick={scroll.toLatest}>
      <DownIcon />
    </button>
  )
  return (
    <>
      <main className="chat">
        {TurnList && turns.length > 0 ? (
          <TurnList
            turns={turns}
            branches={branches}
            busy={busy}
            editing={editing}
            readOnly={readOnly}
            wanted={wanted}
            actions={actions}
            list={list}
            onEarlier={scroll.keepBelow}
          />
        ) : state === 'new' && !readOnly ? (
          <EmptyState onAsk={(text) => ask(text, [])} demo={about?.demo ?? false} />
        ) : (
          <p className="chat-loading">{chat.loading}</p>
        )}
        <div ref={spacer} aria-hidden="true" />
      </main>
      {readOnly ? (
        jump && <div className="dock jump-only">{jump}</div>
      ) : (
        <section className="dock" ref={dock} aria-label={chat.ask}>
          {jump}
          {notice.offered && (
            <p className="offer" data-testid="notify-offer">
              {chat.notifyOffer}
              <button type="button" className="plain" onClick={notice.accept}>
                {chat.notifyYes}
              </button>
              <button type="button" className="plain" onClick={notice.decline}>
                {chat.notifyNo}
              </button>
            </p>
          )}
          {problem && <FailureNote key={problem.message} failure={problem} retry={null} />}
          <Composer
            conversation={conversation}
            conversations={conversations}
            about={about}
            snapshot={snapshot}
            stopping={answer?.stopping ?? false}
            ask={ask}
            stop={stop}
            editLast={editLast}
          />
        </section>
      )}
      <Announcer turns={turns} waiting={queue.length} />
    </>
  )
}
