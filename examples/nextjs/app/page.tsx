'use client'
import { browserStorage, cacheOf, ChatStore, createTransport } from '@headwater/client'
import { useChat } from '@headwater/react'
import { useState } from 'react'

const chat = new ChatStore({ transport: createTransport('/'), storage: browserStorage('chat'), onResponse: cacheOf })

export default function Page() {
  const { turns, busy, send, stop, retry, clear } = useChat(chat)
  const [question, setQuestion] = useState('')
  return (
    <main className="flex flex-col gap-4">
      {turns.map((turn) =>
        turn.role === 'user' ? (
          <p key={turn.id} className="self-end rounded-xl bg-sky-100 px-4 py-2">{turn.text}</p>
        ) : (
          <article key={turn.id} data-status={turn.status} className="whitespace-pre-wrap">
            {turn.message.text}
            {turn.cache === 'hit' && <small className="ml-2 text-slate-500">from the cache</small>}
            {turn.failure && <button className="block text-red-700 underline" onClick={retry}>{turn.failure.message} Try again</button>}
          </article>
        ),
      )}
      <form
        className="flex gap-3"
        onSubmit={(event) => {
          event.preventDefault()
          if (send(question)) setQuestion('')
        }}
      >
        <input
          {...{ value: question, 'aria-label': 'Your question', className: 'grow rounded border px-3 py-2' }}
          onChange={(event) => setQuestion(event.target.value)}
        />
        {busy ? <button type="button" onClick={stop}>Stop</button> : <button>Send</button>}
        <button type="button" onClick={clear}>New chat</button>
      </form>
    </main>
  )
}
