// The tutorial's page: a React component that posts the question, and reads the answer's text with a stream's reader.
//
//     node react_loop.mjs <server>     prints each state that the page showed, and how the loop ended
import { JSDOM } from 'jsdom'

const { window } = new JSDOM('<div id="root"></div>')
Object.assign(globalThis, { window, document: window.document })
globalThis.navigator ??= window.navigator
const { createElement, useEffect, useState } = await import('react')
const { createRoot } = await import('react-dom/client')

const [server, question] = process.argv.slice(2)
const shown = []

function Page({ done }) {
  const [text, setText] = useState('')
  useEffect(() => {
    const ask = async () => {
      const response = await fetch(`${server}/api/stream/completion/chat`, {
        method: 'POST',
        headers: { 'Content-Type': 'text/event-stream', Accept: 'text/plain' },
        body: JSON.stringify({ messages: [{ role: 'user', content: question }] }),
      })
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
      while (true) {
        const { value, done } = await reader.read()
        if (done) return response
        setText((before) => before + value)
      }
    }
    ask().then(
      (response) => done({ ended: 'whole', cache: response.headers.get('cache-status') }),
      (error) => done({ ended: `${error.name}: ${error.message}` }),
    )
  }, [])
  useEffect(() => {
    shown.push(document.querySelector('p').textContent)
  })
  return createElement('p', null, text)
}

const ended = await new Promise((done) => createRoot(document.getElementById('root')).render(createElement(Page, { done })))
await new Promise((resolve) => setTimeout(resolve, 20)) // React paints the last state a moment later
console.log(JSON.stringify({ ...ended, shown }))
process.exit(0)
