'use client'
import { browserStorage, ChatStore, createTransport } from '@headwater/client'
import { useChat } from '@headwater/react'
import type { FormEvent } from 'react'

const chat = new ChatStore({ transport: createTransport('/'), storage: browserStorage('chat') })

export default function Page() {
  const { turns, busy, send, stop, retry, clear } = useChat(chat)
  const ask = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    if (send(String(new FormData(event.currentTarget).get('question')))) event.currentTarget.reset()
  }
  return (
    <main className="flex flex-col gap-4">
      {turns.map((turn) =>
        turn.role === 'user' ? (
          <p key={turn.id} className="self-end rounded-xl bg-sky-100 px-4 py-2">{turn.text}</p>
        ) : (
          <article key={turn.id} data-status={turn.status} className="whitespace-pre-wrap">
            {turn.message.text}
            {turn.cache === 'hit' && <small className="ml-2 text-slate-500">from the cache</small>}
            {turn.failure && (
              <p className="text-red-700">
                {turn.failure.message} <button className="underline" onClick={retry}>Try again</button>
              </p>
            )}
          </article>
        ),
      )}
      <form className="flex gap-3" onSubmit={ask}>
        <input name="question" aria-label="Your question" className="grow rounded border px-3 py-2" />
        {busy ? <button type="button" onClick={stop}>Stop</button> : <button>Send</button>}
        <button type="button" onClick={clear}>New chat</button>
      </form>
    </main>
  )
}
