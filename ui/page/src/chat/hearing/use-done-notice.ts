import { useEffect, useRef, useState } from 'react'
import { notifyPreference } from '../../shell/preference'

/** Whether the person may be offered to be told of finished answers. */
export interface DoneNotice {
  readonly offered: boolean
  readonly accept: () => void
  readonly decline: () => void
}

interface Watched {
  readonly busy: boolean
  readonly title: string
}

/**
 * Tells of an answer that is done in a hidden tab: by a sign in the title, and by a notification where the person wants it.
 * Offered once, when somebody comes back who had left during an answer; the browser's own question follows a yes only.
 */
export function useDoneNotice({ busy, title }: Watched, words: { readonly ready: string; readonly done: (title: string) => string }): DoneNotice {
  const [offered, setOffered] = useState(false)
  const current = useRef({ busy, title, words })
  const left = useRef(false)
  const was = useRef(busy)
  useEffect(() => {
    current.current = { busy, title, words }
    if (was.current && !busy && document.hidden) {
      markTitle()
      notify(words.ready, words.done(title))
    }
    was.current = busy
  }, [busy, title, words])
  useEffect(() => {
    const onVisibility = () => {
      if (document.hidden) left.current = current.current.busy
      else if (left.current && 'Notification' in window && Notification.permission === 'default' && notifyPreference.get() === 'unsaid') setOffered(true)
    }
    document.addEventListener('visibilitychange', onVisibility)
    return () => document.removeEventListener('visibilitychange', onVisibility)
  }, [])
  return {
    offered,
    accept() {
      notifyPreference.set('yes')
      setOffered(false)
      void Notification.requestPermission()
    },
    decline() {
      notifyPreference.set('no')
      setOffered(false)
    },
  }
}

/** A sign before the title of the page until the tab is seen again; another title keeps it. */
function markTitle(): void {
  const mark = () => {
    if (!document.title.startsWith('● ')) document.title = `● ${document.title}`
  }
  mark()
  const observer = new MutationObserver(mark)
  const head = document.querySelector('head')
  if (head) observer.observe(head, { subtree: true, childList: true, characterData: true })
  const seen = () => {
    if (document.hidden) return
    observer.disconnect()
    document.title = document.title.replace(/^● /, '')
    document.removeEventListener('visibilitychange', seen)
  }
  document.addEventListener('visibilitychange', seen)
}

function notify(title: string, body: string): void {
  if (!('Notification' in window) || Notification.permission !== 'granted' || notifyPreference.get() === 'no') return
  try {
    const notification = new Notification(title, { body, tag: 'headwater-answer' })
    notification.onclick = () => {
      window.focus()
      notification.close()
    }
  } catch {
    // Android lets only service workers notify; the title still tells.
  }
}
