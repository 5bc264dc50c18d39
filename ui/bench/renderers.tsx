// One renderer of Markdown, by the address `?renderer=`, under a text that grows: for `python -m bench.ui`.
import { useSyncExternalStore, type ReactElement } from 'react'
import { createRoot } from 'react-dom/client'
import ReactMarkdown from 'react-markdown'
import remarkGfm from 'remark-gfm'
import { Streamdown } from 'streamdown'
import { Markdown } from '../page/src/markdown/markdown'
import '../page/src/styles/tokens.css'
import '../page/src/styles/code.css'
import '../page/src/styles/prose.css'

/** Milliseconds between two renders, for all alike: the pace of the page. */
const PACE = 50

const RENDERERS: Readonly<Record<string, (text: string, growing: boolean) => ReactElement>> = {
  headwater: (text, growing) => <Markdown text={text} growing={growing} />,
  streamdown: (text, growing) => <Streamdown isAnimating={growing}>{text}</Streamdown>,
  'react-markdown': (text) => <ReactMarkdown remarkPlugins={[remarkGfm]}>{text}</ReactMarkdown>,
}
const render = RENDERERS[new URLSearchParams(location.search).get('renderer') ?? 'headwater']!

let shown = { text: '', growing: true }
const listeners = new Set<() => void>()
const show = (text: string, growing: boolean) => {
  shown = { text, growing }
  for (const listener of listeners) listener()
}

function Shown() {
  const { text, growing } = useSyncExternalStore(
    (listener) => (listeners.add(listener), () => void listeners.delete(listener)),
    () => shown,
  )
  return <div className="prose">{render(text, growing)}</div>
}

/** Writes a text at so many characters a second; resolves with frames a second, and the sum (s) and longest (ms) of long tasks. */
async function feed(text: string, rate: number): Promise<readonly number[]> {
  let frames = 0
  let long = 0
  let longest = 0
  let running = true
  const frame = () => {
    frames++
    if (running) requestAnimationFrame(frame)
  }
  requestAnimationFrame(frame)
  const tasks = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) {
      long += duration
      longest = Math.max(longest, duration)
    }
  })
  tasks.observe({ type: 'longtask' })
  const began = performance.now()
  await new Promise<void>((done) => {
    const timer = setInterval(() => {
      const length = Math.floor(((performance.now() - began) / 1000) * rate)
      show(text.slice(0, length), length < text.length)
      scrollTo(0, document.documentElement.scrollHeight)
      if (length < text.length) return
      clearInterval(timer)
      requestAnimationFrame(() => done())
    }, PACE)
  })
  running = false
  const seconds = (performance.now() - began) / 1000
  // The browser reports a long task some time after it ended; the last render must not be missed.
  await new Promise((done) => setTimeout(done, 500))
  tasks.disconnect()
  return [frames / seconds, long / 1000, longest]
}

createRoot(document.getElementById('root')!).render(<Shown />)
Object.assign(globalThis, { feed })
