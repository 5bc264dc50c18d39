import type { Branch, ConversationTurn } from '@headwater/client/conversations'
import { useState, type RefObject } from 'react'
import { flushSync } from 'react-dom'
import { useWords } from '../../words/words'
import { AnswerView } from './answer-view'
import type { BranchProps } from './branch-picker'
import { QuestionView } from './question-view'

const PAGE = 40

/** What can be done with the turns of a conversation; the same object for as long as the conversation is shown. */
export interface TurnActions {
  /** Opens the editor of a question; null closes it. */
  readonly edit: (question: string | null) => void
  /** Asks a question in other words. */
  readonly ask: (question: string, text: string) => void
  readonly choose: (turn: string, control: HTMLElement) => void
  readonly regenerate: (answer: string) => void
  readonly retry: () => void
  readonly goOn: () => void
  readonly fileAddress: (file: string) => string
  /** Whether the server wants a key. */
  readonly keys: boolean
}

interface TurnListProps {
  readonly turns: readonly ConversationTurn[]
  readonly branches: ReadonlyMap<string, Branch>
  readonly busy: boolean
  readonly editing: string | null
  readonly readOnly: boolean
  /** A turn that is to be among those that are shown. */
  readonly wanted: string | null
  readonly actions: TurnActions
  readonly list: RefObject<HTMLElement | null>
  /** Called before earlier turns are shown above; what it returns, afterwards. */
  readonly onEarlier: () => () => void
}

/** The turns of a conversation, the newest forty at first: a long one would take seconds to mount. */
export function TurnList({ turns, branches, busy, editing, readOnly, wanted, actions, list, onEarlier }: TurnListProps) {
  const { chat } = useWords()
  // Counted from the beginning, so that a new turn does not push out the oldest one that is shown.
  const [begin, setBegin] = useState<number | null>(null)
  // Kept once there are turns: where a reader has begun to read, that stays. Another branch may end before it.
  const kept = begin !== null && begin < turns.length ? begin : Math.max(0, Math.floor((turns.length - PAGE) / 2) * 2)
  const found = wanted === null ? -1 : turns.findIndex(({ id }) => id === wanted)
  const hidden = found < 0 ? kept : Math.min(kept, found)
  if (begin !== hidden) setBegin(hidden)
  const showEarlier = () => {
    const after = onEarlier()
    flushSync(() => setBegin(Math.max(0, hidden - PAGE)))
    after()
    // The button may go, and the focus would go with it.
    list.current?.querySelector<HTMLElement>('[data-turn]')?.focus({ preventScroll: true })
  }
  return (
    <>
      {hidden > 0 && (
        <button type="button" className="quiet earlier" data-testid="earlier" onClick={showEarlier}>
          {chat.earlier(Math.min(hidden, PAGE))}
        </button>
      )}
      <section className="transcript" ref={list} role="feed" aria-label={chat.conversation}>
        {turns.slice(hidden).map((turn, index) => {
          const common = { place: hidden + index + 1, all: turns.length, branch: branchOf(branches.get(turn.id)), readOnly, actions }
          return turn.role === 'user' ? (
            <QuestionView {...common} key={turn.id} question={turn} editing={turn.id === editing} />
          ) : (
            <AnswerView {...common} key={turn.id} answer={turn} last={hidden + index === turns.length - 1} busy={busy} />
          )
        })}
      </section>
    </>
  )
}

// The same object for the same values: a map that is new for every token must not render every turn again.
const known = new Map<string, BranchProps>()

function branchOf(branch: Branch | undefined): BranchProps | null {
  if (!branch || branch.count < 2) return null
  const { index, count, previous, next } = branch
  const key = [index, count, previous, next].join(' ')
  let found = known.get(key)
  if (!found) {
    if (known.size > 1000) known.clear()
    known.set(key, (found = { index, count, previous, next }))
  }
  return found
}
