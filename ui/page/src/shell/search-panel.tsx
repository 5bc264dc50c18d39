import type { ConversationMatch, ConversationSummary, SearchResult } from '@headwater/client/conversations'
import { useEffect, useState, type KeyboardEvent, type ReactNode } from 'react'
import { useFormats } from '../words/formats'
import { useWords } from '../words/words'
import { Dialog } from './dialog'
import type { PanelProps } from './panels'

// Long enough to type on, short enough not to be noticed.
const PAUSE = 150
const RECENT = 8
const NOTHING: SearchResult = { matches: [], complete: true }

interface Found {
  /** What was searched for; the list of an earlier search stays until the next is there. */
  readonly words: string
  readonly result: SearchResult | 'failed'
}

type Line = ConversationSummary & Partial<Pick<ConversationMatch, 'message' | 'excerpt'>>

/** Searches all chats for words; the arrow keys choose, Enter opens. */
export default function SearchPanel({ conversations, open, onClose }: PanelProps) {
  const { shell: words } = useWords()
  const { number, ago } = useFormats()
  const [text, setText] = useState('')
  const [chosen, setChosen] = useState(0)
  const wanted = text.trim()
  const found = useSearch(conversations.search, wanted)
  const failed = wanted !== '' && found?.result === 'failed'
  const { matches, complete } = found === null || found.result === 'failed' ? NOTHING : found.result
  const list: readonly Line[] = wanted === '' ? conversations.getSnapshot().items.slice(0, RECENT) : matches
  const at = Math.min(chosen, list.length - 1)
  const settled = wanted === '' || found?.words === wanted
  const enter = ({ id, message }: Line) => {
    onClose()
    open(id, message)
  }
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    const chat = list[at]
    if (step !== undefined && list.length > 0) {
      event.preventDefault()
      setChosen((at + step + list.length) % list.length)
    } else if (event.key === 'Enter') {
      event.preventDefault()
      // What is shown until the search has ended was found by other words.
      if (chat && settled) enter(chat)
    }
  }
  return (
    <Dialog title={words.searchTitle} className="search" testId="search-dialog" onClose={onClose}>
      <input
        type="search"
        data-testid="search-field"
        role="combobox"
        aria-label={words.searchTitle}
        aria-expanded={list.length > 0}
        aria-controls="search-results"
        aria-activedescendant={list[at] && `search-${at}`}
        placeholder={words.searchPlaceholder}
        autoComplete="off"
        data-first
        dir="auto"
        value={text}
        onChange={({ target }) => {
          setText(target.value)
          setChosen(0)
        }}
        onKeyDown={onKeyDown}
      />
      <p className="search-note" role="status">
        {wanted === '' ? words.recent : failed ? words.searchFailed : !settled ? words.loading : list.length === 0 && complete ? words.searchNothing : words.searchFound(number(list.length))}
        {wanted !== '' && settled && !complete && ` ${words.searchPartly}`}
      </p>
      <ul id="search-results" role="listbox" aria-label={wanted === '' ? words.recent : words.searchTitle}>
        {list.map((chat, place) => (
          <li
            key={chat.id}
            id={`search-${place}`}
            ref={(item) => {
              if (place === at) item?.scrollIntoView?.({ block: 'nearest' })
            }}
            role="option"
            aria-selected={place === at}
            data-testid="search-result"
            onPointerMove={() => setChosen(place)}
            onClick={() => enter(chat)}
          >
            <strong dir="auto">{marked(chat.title || words.untitled, wanted)}</strong>
            <time dateTime={new Date(chat.updatedAt).toISOString()}>{ago(chat.updatedAt, Date.now())}</time>
            {chat.excerpt && <span dir="auto">{marked(chat.excerpt, wanted)}</span>}
          </li>
        ))}
      </ul>
    </Dialog>
  )
}

function useSearch(search: PanelProps['conversations']['search'], words: string): Found | null {
  const [found, setFound] = useState<Found | null>(null)
  useEffect(() => {
    if (words === '') return setFound(null)
    const abort = new AbortController()
    const settle = (result: Found['result']) => abort.signal.aborted || setFound({ words, result })
    const timer = setTimeout(() => void search(words, abort.signal).then(settle, () => settle('failed')), PAUSE)
    return () => {
      clearTimeout(timer)
      abort.abort()
    }
  }, [search, words])
  return found
}

/** A text with the words that were searched for marked in it. */
export function marked(text: string, words: string): ReactNode {
  const parts = words.split(/\s+/).filter(Boolean).map((word) => word.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
  if (parts.length === 0) return text
  // An odd place is what the pattern's group has caught.
  return text.split(new RegExp(`(${parts.join('|')})`, 'i')).map((part, place) => (place % 2 ? <mark key={place}>{part}</mark> : part))
}
