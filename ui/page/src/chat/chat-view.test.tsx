import { act, cleanup, fireEvent, screen, waitFor, within } from '@testing-library/react'
import axe from 'axe-core'
import { beforeEach, expect, test, vi } from 'vitest'
import { answerOf, questionOf, ScriptedConversation } from '../../../testing/scripted-conversation'
import { answer, answers, box, open, talk, write } from './chat-view.fixture'

const rendered = vi.hoisted(() => new Map<string, number>())
vi.mock('../markdown/markdown', async (original) => {
  const { Markdown } = await original<typeof import('../markdown/markdown')>()
  return {
    Markdown(props: Parameters<typeof Markdown>[0]) {
      rendered.set(props.text, (rendered.get(props.text) ?? 0) + 1)
      return <Markdown {...props} />
    },
  }
})
const broken = vi.hoisted(() => ({ facts: false }))
vi.mock('./facts/facts-panel', async (original) => {
  const { default: FactsPanel } = await original<typeof import('./facts/facts-panel')>()
  return {
    default(props: Parameters<typeof FactsPanel>[0]) {
      if (broken.facts) throw new TypeError('The panel could not be loaded.')
      return <FactsPanel {...props} />
    },
  }
})

beforeEach(() => rendered.clear())

test('a regenerated answer stands beside the old one, and has the focus', async () => {
  const conversation = talk()
  const { user } = open(conversation)
  await user.click(within(answer()).getByTestId('regenerate'))
  expect(answer().dataset.state).toBe('streaming')
  expect(document.activeElement).toBe(answer())
  expect(within(answer()).getByText('Version 2 of 2')).toBeTruthy()
})

test('an answer that its length limit cut is continued', async () => {
  const message = answerOf('Half').message
  const conversation = new ScriptedConversation('chat', [
    questionOf('Q'),
    answerOf('Half', { message: { ...message, ending: { type: 'finish', reason: 'length' } } }),
  ])
  const { user } = open(conversation)
  expect(screen.getByText('Cut off: the model reached its length limit.')).toBeTruthy()
  await user.click(screen.getByTestId('continue'))
  expect(screen.getByText('Asked for the rest')).toBeTruthy()
  expect(screen.queryByTestId('continue')).toBeNull()
})

test('a failure is told in plain words, the server’s own are folded, and its wait is counted', async () => {
  vi.useFakeTimers()
  const conversation = new ScriptedConversation('chat', [questionOf('Q')])
  open(conversation)
  act(() => void conversation.send('Again'))
  write(conversation, { type: 'error', code: 'rate_limited', message: 'upstream 10.0.0.7 says 429', retry_after: 3 })
  const error = within(screen.getByTestId('error'))
  expect(error.getByText('Too many questions at the moment.')).toBeTruthy()
  const raw = error.getByText('upstream 10.0.0.7 says 429')
  expect(raw.closest('details')!.open).toBe(false)
  const retry = screen.getByTestId('retry')
  expect(retry.textContent).toBe('Try again in 3 s')
  fireEvent.click(retry)
  expect(conversation.calls).not.toContain('retry')
  // In steps, since each one sets the next timer.
  for (let passed = 0; passed <= 3_000; passed += 250) await act(() => vi.advanceTimersByTimeAsync(250))
  expect(retry.textContent).toBe('Try again')
  fireEvent.click(retry)
  expect(conversation.calls).toContain('retry')
  vi.useRealTimers()
})

test('a question that came too soon says when it is asked again', () => {
  const conversation = new ScriptedConversation('chat')
  open(conversation)
  act(() => void conversation.send('Q'))
  const failure = { code: 'rate_limited', message: 'Too many.', retryAfter: 30 }
  act(() => conversation.change(conversation.getSnapshot().turns[1]!.id, { failure }))
  expect(screen.getByTestId('error').textContent).toMatch(/^Too many questions at the moment.*Next try in 30 sec/)
  expect(screen.queryByTestId('retry')).toBeNull()
})

test.each([
  ['storage', 'Leave the page open'],
  ['files', 'too large for this browser'],
  ['unsent', 'was not sent'],
  ['quota_exceeded', 'used up'],
  ['at_capacity', 'Too many questions'],
  ['prompt_too_large', 'too large'],
  ['not_allowed', 'may not do this'],
  ['no_such_conversation', 'was deleted'],
])('the page has words of its own for %s', (code, words) => {
  const conversation = talk()
  conversation.show({ problem: { code, message: 'Server says no.', retryAfter: null } })
  open(conversation)
  expect(screen.getByTestId('error').querySelector('p')!.textContent).toContain(words)
})

test('reasoning is folded with its time, and tools with their names', async () => {
  const conversation = new ScriptedConversation('chat')
  const { user } = open(conversation)
  await user.type(box(), 'Q{Enter}')
  write(conversation, { type: 'reasoning-delta', text: 'Let me see' })
  expect(screen.getByText('Thinking…').closest('details')!.open).toBe(true)
  write(
    conversation,
    { type: 'tool-call-start', id: 't', name: 'search' },
    { type: 'tool-call-delta', id: 't', arguments: '{"q":1}' },
    { type: 'tool-call-end', id: 't' },
    { type: 'tool-result', id: 't', output: 'found' },
    { type: 'text-delta', text: 'So' },
  )
  expect(screen.getByText(/^Thought for/).closest('details')!.open).toBe(false)
  expect(screen.getByText('Tool search').closest('details')!.open).toBe(false)
  expect(screen.getByText('found')).toBeTruthy()
})

test('how long an old answer was reasoned about is what the server says', () => {
  const old = answerOf('So')
  open(new ScriptedConversation('chat', [questionOf('Q'), { ...old, message: { ...old.message, reasoning: 'Let me see' }, timing: { first_token: 0.5, first_text: 4.5, duration: 6 } }]))
  expect(screen.getByText('Thought for 4 s')).toBeTruthy()
})

test('one quiet badge opens what is known of an answer', async () => {
  const { message } = answerOf('Old')
  const usage = { input_tokens: 12, output_tokens: 90, details: { input_token_details: { cache_read: 4 } } }
  const conversation = new ScriptedConversation('chat', [
    questionOf('Q'),
    answerOf('Old', {
      cache: 'hit',
      producedAt: Date.now() - 185_000,
      location: 'https://chat.example/api/streams/abc',
      timing: { first_token: 0.42, duration: 2.42 },
      saved: { seconds: 2.4, tokens: 90, cost: 0.0021 },
      matched: 'Q, please?',
      message: { ...message, usage: { ...usage, cost: 0.0021 } },
    }),
  ])
  const { user } = open(conversation)
  expect(screen.getByTestId('cached-badge').textContent).toBe('cached · 3 min ago')
  expect(screen.queryByTestId('stats')).toBeNull()
  await user.click(screen.getByTestId('facts'))
  const facts = (await screen.findByTestId('stats')).textContent
  for (const words of ['From the cache, written 3 min ago', 'Was asked asQ, please?', '2.4 s, 90 tokens, and $0.0021', 'Cost$0.0021', '420 ms', '45 tokens/s', '12 read (4 from the provider’s cache), 90 written', 'scripted', 'abc']) {
    expect(facts).toContain(words)
  }
  const copied = vi.spyOn(navigator.clipboard, 'writeText')
  await user.click(screen.getByText('Copy as curl'))
  expect(copied).toHaveBeenCalledWith("curl -N -H 'Accept: text/event-stream' 'https://chat.example/api/streams/abc'")
  await user.keyboard('{Escape}')
  expect(screen.queryByTestId('stats')).toBeNull()
  expect(document.activeElement).toBe(screen.getByTestId('facts'))
})

test('where the facts cannot be shown the answer stays, and they are tried again', async () => {
  vi.spyOn(console, 'error').mockReturnValue()
  const { user } = open(talk())
  broken.facts = true
  await user.click(within(answer()).getByTestId('facts'))
  await screen.findByText('This part of the page could not be loaded. Is the server away?')
  expect(answer().textContent).toContain('Two.')
  broken.facts = false
  await user.click(within(answer()).getByTestId('facts'))
  await user.click(within(answer()).getByTestId('facts'))
  await screen.findByTestId('stats')
})

test('the badge says live, joined and continued', async () => {
  const { message } = answerOf('x')
  const conversation = new ScriptedConversation('chat', [
    answerOf('a', { cache: 'collapsed' }),
    answerOf('b', { message: { ...message, text: 'b', continued: [{ type: 'continued', cause: 'server', way: 'prefill', after: '1', at: 1 }] } }),
    answerOf('c', { status: 'streaming' }),
  ])
  open(conversation)
  expect(screen.getAllByTestId('facts').map(({ textContent }) => textContent)).toEqual(['joined', 'continued', 'live'])
})

test('a screen reader hears that an answer began, then its plain text once', async () => {
  const conversation = new ScriptedConversation('chat')
  const { user } = open(conversation)
  const said = () => screen.getByTestId('announcer').textContent
  await user.type(box(), 'Q{Enter}')
  expect(said()).toBe('Answering')
  write(conversation, { type: 'text-delta', text: '# Title\n\nSome **bold** text' })
  expect(said()).toBe('Answering')
  write(conversation, { type: 'finish', reason: 'stop' })
  await waitFor(() => expect(said()).toBe('Heading: Title. Some bold text'))
})

test('a screen reader hears an answer also where the next one begins in the moment in which it ends', async () => {
  const conversation = new ScriptedConversation('chat')
  const { user } = open(conversation)
  await user.type(box(), 'One{Enter}Two{Enter}')
  write(conversation, { type: 'text-delta', text: 'Some **bold** text.' }, { type: 'finish', reason: 'stop' })
  await waitFor(() => expect(screen.getByTestId('announcer').textContent).toBe('Some bold text. Answering'))
})

test('a token renders its own answer only', async () => {
  const conversation = talk()
  const { user } = open(conversation)
  await user.type(box(), 'Third?{Enter}')
  write(conversation, { type: 'text-delta', text: 'a' })
  const before = rendered.get('One.')
  write(conversation, { type: 'text-delta', text: 'b' })
  write(conversation, { type: 'text-delta', text: 'c' })
  expect(rendered.get('One.')).toBe(before)
  expect(rendered.get('abc')).toBeGreaterThan(0)
})

test('of a long chat the newest turns are shown, and earlier ones on demand', async () => {
  const turns = Array.from({ length: 100 }, (_, index) => (index % 2 === 0 ? questionOf(`Q${index}`) : answerOf(`A${index}`)))
  const { user } = open(new ScriptedConversation('chat', turns))
  const shown = () => document.querySelectorAll('[data-turn]').length
  expect(shown()).toBe(40)
  await user.click(screen.getByTestId('earlier'))
  expect(shown()).toBe(80)
  await user.click(screen.getByText('Show 20 earlier messages'))
  expect(shown()).toBe(100)
  expect(screen.queryByTestId('earlier')).toBeNull()
  expect(document.activeElement).not.toBe(document.body)
})

test('a branch that is shorter than what was hidden is shown, and so is a turn that is wanted', async () => {
  const turns = Array.from({ length: 100 }, (_, index) => (index % 2 === 0 ? questionOf(`Q${index}`) : answerOf(`A${index}`)))
  const conversation = new ScriptedConversation('chat', turns)
  open(conversation)
  act(() => void conversation.edit(turns[0]!.id, 'Other?'))
  expect(screen.getByTestId('message-user').textContent).toContain('Other?')
  cleanup()
  open(new ScriptedConversation('chat', turns), { wanted: turns[3]!.id })
  expect(screen.getByText('A3')).toBeTruthy()
})

test('the keyboard goes from turn to turn, and back to the box', async () => {
  const { user } = open(talk())
  await user.click(box())
  await user.keyboard('{Alt>}{ArrowUp}{/Alt}')
  expect(document.activeElement).toBe(answer())
  await user.keyboard('{Alt>}{ArrowUp}{ArrowUp}{ArrowDown}{/Alt}')
  expect(document.activeElement).toBe(screen.getAllByTestId('message-user')[1])
  await user.keyboard('{F6}')
  expect(document.activeElement).toBe(box())
  await user.keyboard('{F6}')
  expect(document.activeElement).toBe(answer())
  await user.keyboard('{Shift>}{Escape}{/Shift}')
  expect(document.activeElement).toBe(box())
})

test('a hidden tab is marked when its answer is done, and asks once whether it may notify', async () => {
  const conversation = new ScriptedConversation('chat')
  const shown: string[] = []
  const Notification = Object.assign(
    class {
      constructor(title: string, { body }: { body: string }) {
        shown.push(`${title}: ${body}`)
      }
    },
    { permission: 'default', requestPermission: vi.fn(async () => 'granted') },
  )
  vi.stubGlobal('Notification', Notification)
  const hidden = vi.spyOn(document, 'hidden', 'get').mockReturnValue(false)
  const hide = (value: boolean) => act(() => (hidden.mockReturnValue(value), document.dispatchEvent(new Event('visibilitychange'))))
  document.title = 'Springs'
  const { user } = open(conversation)
  await user.type(box(), 'Q{Enter}')
  expect(screen.queryByTestId('notify-offer')).toBeNull()
  hide(true)
  write(conversation, { type: 'finish', reason: 'stop' })
  expect(document.title).toBe('● Springs')
  expect(shown).toEqual([])
  hide(false)
  expect(document.title).toBe('Springs')
  await user.click(within(screen.getByTestId('notify-offer')).getByText('Yes, tell me'))
  expect(Notification.requestPermission).toHaveBeenCalledOnce()
  expect(screen.queryByTestId('notify-offer')).toBeNull()

  Notification.permission = 'granted'
  await user.type(box(), 'Again{Enter}')
  hide(true)
  write(conversation, { type: 'finish', reason: 'stop' })
  expect(shown).toEqual(['Answer ready: Your answer is ready'])
  hide(false)
})

test('a shared conversation is only read', async () => {
  open(talk(), { readOnly: true })
  expect(answers().length).toBe(2)
  for (const id of ['composer', 'edit', 'regenerate']) expect(screen.queryByTestId(id)).toBeNull()
  expect(screen.getAllByLabelText('Copy answer').length).toBe(2)
})

test('no rule of axe is broken while an answer runs, with its queue, files and facts', async () => {
  const conversation = talk()
  const { user } = open(conversation)
  await user.click(within(answer()).getByTestId('facts'))
  await screen.findByTestId('stats')
  await user.click(screen.getAllByTestId('edit')[0]!)
  await user.type(box(), 'Three{Enter}Four{Enter}')
  const { violations } = await axe.run(document.body, { rules: { region: { enabled: false }, 'page-has-heading-one': { enabled: false } } })
  expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([])
})
