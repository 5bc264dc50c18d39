import { ChatStore, createTransport } from '@headwater/client'
import { ScriptedLog, LogServer } from '../../../testing/log-server.js'
import { act, cleanup, configure, render, renderHook, screen, waitFor } from '@testing-library/react'
import { StrictMode } from 'react'
import { hydrateRoot } from 'react-dom/client'
import { renderToString } from 'react-dom/server'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { useChat } from './use-chat.js'
import { useLog } from './use-log.js'

configure({ asyncUtilTimeout: 10_000 })

let server: LogServer
beforeEach(async () => void (server = await new LogServer().start()))
afterEach(async () => {
  cleanup()
  await server.close()
})

const HELLO = [
  { type: 'start', message_id: 'm', model: 'scripted' },
  { type: 'text-delta', text: 'Hello' },
] as const

test('a chat renders its answer as it streams', async () => {
  const log = new ScriptedLog('log', HELLO)
  server.answer = () => log
  const store = new ChatStore({ transport: createTransport(server.url) })
  const { result } = renderHook(() => useChat(store), { wrapper: StrictMode })
  act(() => void result.current.send('Hi'))
  expect(result.current.busy).toBe(true)
  await waitFor(() => expect(result.current.turns[1]).toMatchObject({ message: { text: 'Hello' } }))
  act(() => log.append({ type: 'finish', reason: 'stop' }))
  await waitFor(() => expect(result.current).toMatchObject({ busy: false, turns: [{}, { status: 'finished' }] }))
})

function Log({ location }: { location: string }) {
  const { message, connection } = useLog(TRANSPORT.current, location)
  return <p data-testid="log">{`${connection}: ${message.text}`}</p>
}
const TRANSPORT = { current: createTransport('http://localhost/') }

test('a log is followed while the component is mounted, also under StrictMode', async () => {
  TRANSPORT.current = createTransport(server.url)
  const log = new ScriptedLog('log', HELLO)
  const { unmount } = render(<Log location={server.keep(log)} />, { wrapper: StrictMode })
  await waitFor(() => expect(screen.getByTestId('log').textContent).toBe('live: Hello'))
  log.append({ type: 'text-delta', text: ' there' }, { type: 'finish', reason: 'stop' })
  await waitFor(() => expect(screen.getByTestId('log').textContent).toBe('closed: Hello there'))
  unmount()
})

function Questions({ store }: { store: ChatStore }) {
  return <p>{useChat(store).turns.map((turn) => (turn.role === 'user' ? turn.text : ''))}</p>
}

test('a page that a server rendered is hydrated before it shows the chat that the browser has kept', async () => {
  const transport = createTransport(server.url)
  const kept = { id: 'kept', turns: [{ role: 'user', id: 'q', text: 'Hi' }] } as const
  const store = new ChatStore({ transport, storage: { load: () => kept, save: () => undefined } })
  const page = document.body.appendChild(document.createElement('div'))
  page.innerHTML = renderToString(<Questions store={new ChatStore({ transport })} />)
  const mismatches: unknown[] = []
  await act(async () => hydrateRoot(page, <Questions store={store} />, { onRecoverableError: (error) => mismatches.push(error) }))
  expect(page.textContent).toBe('Hi')
  expect(mismatches).toEqual([])
})
