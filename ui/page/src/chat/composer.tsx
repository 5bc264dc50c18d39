import type { Chat } from '@headwater/react'
import { useEffect, useLayoutEffect, useRef, useState, type KeyboardEvent } from 'react'
import { keepDraft, keptDraft } from '../login'
import { SendIcon, StopIcon } from '../shell/icons'

interface ComposerProps extends Pick<Chat, 'busy' | 'send' | 'stop'> {
  readonly stopping: boolean
}

/** Where a question is written: Enter sends, Shift+Enter breaks the line, Esc stops the answer. */
export function Composer({ busy, stopping, send, stop }: ComposerProps) {
  const [text, setText] = useState(keptDraft)
  useEffect(() => keepDraft(''), [])
  const field = useRef<HTMLTextAreaElement>(null)
  useLayoutEffect(() => {
    const box = field.current
    if (!box) return
    box.style.height = 'auto'
    box.style.height = `${box.scrollHeight}px`
  }, [text])

  const submit = () => {
    if (!send(text)) return
    setText('')
    field.current?.focus()
  }
  const halt = () => {
    // The button under the pointer is about to go, and the focus with it.
    field.current?.focus()
    void stop()
  }
  const onKeyDown = (event: KeyboardEvent) => {
    // Enter also accepts a candidate of an input method, and a phone's keyboard has no Shift+Enter.
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing || matchMedia('(pointer: coarse)').matches) return
    event.preventDefault()
    submit()
  }
  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault()
        submit()
      }}
    >
      <textarea
        ref={field}
        data-testid="composer"
        aria-label="Your question"
        placeholder="Ask something"
        rows={1}
        autoFocus
        dir="auto"
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
      />
      {busy ? (
        <button type="button" className="round stop" data-testid="stop" aria-label="Stop the answer" title="Stop (Esc)" disabled={stopping} onClick={halt}>
          <StopIcon />
        </button>
      ) : (
        <button type="submit" className="round" data-testid="send" aria-label="Send" title="Send (Enter)" disabled={text.trim() === ''}>
          <SendIcon />
        </button>
      )}
    </form>
  )
}
