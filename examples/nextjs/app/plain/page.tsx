'use client'
import { useState, type FormEvent } from 'react'

export default function Page() {
  const [messages, setMessages] = useState<{ role: string; content: string }[]>([])
  const [latest, setLatest] = useState('')
  const ask = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const asked = [...messages, { role: 'user', content: String(new FormData(event.currentTarget).get('question')) }]
    setMessages(asked)
    const request = { method: 'POST', headers: { Accept: 'text/plain' }, body: JSON.stringify({ messages: asked }) }
    const reader = (await fetch('/api/stream/completion/chat', request)).body!.pipeThrough(new TextDecoderStream()).getReader()
    let text = ''
    for (let read = await reader.read(); !read.done; read = await reader.read()) setLatest((text += read.value))
    setMessages([...asked, { role: 'assistant', content: text }])
    setLatest('')
  }
  return (
    <form onSubmit={ask} className="flex flex-col gap-4">
      {[...messages, { role: 'latest', content: latest }].map(({ role, content }, index) => <p key={index} data-role={role}>{content}</p>)}
      <input name="question" aria-label="Your question" className="rounded border px-3 py-2" />
    </form>
  )
}
