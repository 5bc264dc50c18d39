import { browserStorage, ChatStore, createTransport } from '@headwater/client'
import { problem, ScriptedLog, LogServer } from '../../testing/log-server'
import { act, cleanup, configure, render, screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import axe from 'axe-core'
import { afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { App } from './app'
import { withFigures } from './figures'

configure({ asyncUtilTimeout: 10_000 })

// jsdom lays nothing out, has no media and paints nothing; none of it changes what these tests look at.
beforeAll(() => {
  vi.spyOn(HTMLCanvasElement.prototype, 'getContext').mockReturnValue(null)
  vi.stubGlobal('ResizeObserver', class { observe() {} disconnect() {} })
  vi.stubGlobal('matchMedia', () => ({ matches: false, addEventListener() {}, removeEventListener() {} }))
})

let server: LogServer
let log: ScriptedLog
beforeEach(async () => {
  server = await new LogServer().start()
  log = new ScriptedLog('log', [{ type: 'start', message_id: 'm', model: 'scripted' }])
  server.answer = () => log
  localStorage.clear()
})
afterEach(async () => {
  cleanup()
  await server.close()
})

function open(transport = createTransport(server.url)) {
  const store = new ChatStore({
    ...withFigures(transport),
    storage: browserStorage('chat'),
    pace: () => 0,
  })
  render(<App store={store} transport={transport} />)
  return userEvent.setup()
}
const answer = () => screen.getByTestId('message-assistant')
const stateIs = (state: string) => waitFor(() => expect(answer().dataset.state).toBe(state))
const append = (...events: Parameters<ScriptedLog['append']>) => act(() => log.append(...events))

test('Enter sends, the answer streams, and its figures follow', async () => {
  const user = open()
  await user.type(screen.getByTestId('composer'), 'Line one{Shift>}{Enter}{/Shift}line two{Enter}')
  expect(screen.getByTestId('message-user').textContent).toBe('Line one\nline two')
  expect((screen.getByTestId('composer') as HTMLTextAreaElement).value).toBe('')
  await waitFor(() => expect(log.entries.length).toBe(1))
  append({ type: 'text-delta', text: 'Some **bold**' })
  await waitFor(() => expect(within(answer()).getByText('bold').tagName).toBe('STRONG'))
  expect(answer().querySelector('[aria-busy=true]')).not.toBeNull()
  expect(screen.getByRole('status').textContent).toBe('Answering')
  append({ type: 'finish', reason: 'stop', usage: { output_tokens: 20 } })
  await stateIs('finished')
  expect(answer().querySelector('[aria-busy=true]')).toBeNull()
  await waitFor(() => expect(screen.getByTestId('stats').textContent).toBe('250 ms to first token · 20 tokens/s · 20 tokens'))
  expect(screen.getByRole('status').textContent).toBe('Some **bold**')
})

test('Esc stops and keeps the partial answer', async () => {
  const user = open()
  await user.type(screen.getByTestId('composer'), 'Q{Enter}')
  append({ type: 'text-delta', text: 'So far' })
  await waitFor(() => expect(answer().textContent).toContain('So far'))
  await user.keyboard('{Escape}')
  await stateIs('stopped')
  expect(answer().textContent).toContain('So far')
  expect(screen.queryByTestId('stop')).toBeNull()
})

test('a cached answer is marked and can be generated again', async () => {
  server.headers = { 'Cache-Status': 'headwater; hit; ttl=3000', Age: '200' }
  append({ type: 'text-delta', text: 'Old' }, { type: 'finish', reason: 'stop' })
  const user = open()
  await user.click(screen.getByText('Compare'))
  await waitFor(() => expect(screen.getByTestId('cached-badge').textContent).toBe('cached · 3 min ago'))
  await waitFor(() => expect(screen.getByTestId('stats').textContent).toMatch(/^original run: /))
  server.headers = { 'Cache-Status': 'headwater; fwd=request' }
  log = new ScriptedLog('log-2', [...log.entries.slice(0, 1).map(({ event }) => event), { type: 'text-delta', text: 'New' }, { type: 'finish', reason: 'stop' }])
  await user.click(screen.getByTestId('regenerate'))
  await waitFor(() => expect(answer().textContent).toContain('New'))
  expect(screen.queryByTestId('cached-badge')).toBeNull()
})

test('an error is shown where the answer would be, with a retry that works', async () => {
  server.override = ({ method }, response) => method === 'POST' && (problem(response, 429, 'rate_limit', 'Slow down.', { retry_after: 7 }), true)
  const user = open()
  await user.type(screen.getByTestId('composer'), 'Q{Enter}')
  await stateIs('failed')
  expect(screen.getByTestId('error').textContent).toContain('Slow down. The server asks to wait 7 s.')
  server.override = () => false
  append({ type: 'text-delta', text: 'Fine' }, { type: 'finish', reason: 'length' })
  await user.click(screen.getByTestId('retry'))
  await stateIs('finished')
  expect(screen.queryByTestId('error')).toBeNull()
  expect(answer().textContent).toContain('length limit')
})

test('a conversation that did not fit the model says so', async () => {
  const user = open()
  append({ type: 'metadata', data: { fitted: { dropped: 3, kept: 4, context: 2048 } } }, { type: 'finish', reason: 'stop' })
  await user.type(screen.getByTestId('composer'), 'Q{Enter}')
  await stateIs('finished')
  expect(answer().textContent).toContain('the 3 oldest messages were left out')
})

test('an answer that broke off and goes on is whole, with a quiet note where that was', async () => {
  const user = open()
  await user.type(screen.getByTestId('composer'), 'Hi{Enter}')
  await waitFor(() => expect(log.entries.length).toBe(1))
  append({ type: 'text-delta', text: 'First.\n\nA river be' })
  append({ type: 'continued', cause: 'provider', way: 'prefill', after: '1-2' })
  append({ type: 'text-delta', text: 'gins.\n\nLast.' }, { type: 'finish', reason: 'stop' })
  await stateIs('finished')
  const blocks = [...answer().querySelectorAll('.prose > *')].map(({ textContent }) => textContent)
  expect(blocks).toEqual(['First.', 'A river begins.', 'The provider broke off here; the answer goes on.', 'Last.'])
  expect(within(answer()).getByRole('note').className).toBe('seam')
})

test('a server that cannot answer says what is missing and what to do, also when it learns that later', async () => {
  let why: string | null = null
  const transport = createTransport(server.url)
  const get = async <Shape,>(path: string) => ({ ...(await transport.get<Shape>(path)), problem: why })
  const user = open({ ...transport, get })
  await screen.findByTestId('demo-banner')
  expect(screen.queryByTestId('problem-banner')).toBeNull()

  why = 'The package is not installed. Install it with `pip install x`.'
  server.override = ({ method }, response) => method === 'POST' && (problem(response, 503, 'model_unavailable', why ?? ''), true)
  await user.type(screen.getByTestId('composer'), 'Hi{Enter}')
  const banner = await screen.findByTestId('problem-banner')
  expect(banner.textContent).toBe('Not ready The package is not installed. Install it with pip install x.')
  expect(within(banner).getByText('pip install x').tagName).toBe('CODE')
})

test('a demo model is announced as one, a new chat is empty', async () => {
  const user = open()
  await waitFor(() => expect(screen.getByTestId('demo-banner').textContent).toContain('Demo model For tests.'))
  await user.type(screen.getByTestId('composer'), 'Q{Enter}')
  await user.click(screen.getByTestId('new-chat'))
  expect(screen.queryByTestId('message-user')).toBeNull()
  expect(screen.getByText('What would you like to know?')).toBeTruthy()
})

test('the theme is toggled and remembered', async () => {
  const user = open()
  await user.click(screen.getByTestId('theme'))
  expect(document.documentElement.dataset.theme).toBe('dark')
  expect(localStorage.getItem('headwater.theme')).toBe('dark')
})

test('axe finds nothing to mend', async () => {
  append({ type: 'text-delta', text: '# Title\n\n[x](https://example.org)\n\n| a | b |\n|--|--|\n| 1 | 2 |\n\n- [x] done\n\n```js\nlet x\n```' })
  append({ type: 'error', code: 'provider', message: 'Broke off.' })
  const user = open()
  const check = async () => (await axe.run(document.body, { rules: { 'color-contrast': { enabled: false } } })).violations.map(({ id, nodes }) => [id, nodes[0]?.html])
  expect(await check()).toEqual([])
  await user.type(screen.getByTestId('composer'), 'Q{Enter}')
  await stateIs('failed')
  expect(await check()).toEqual([])
})
