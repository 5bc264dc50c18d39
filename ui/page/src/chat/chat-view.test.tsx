import { act, cleanup, configure, fireEvent, render, screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import type { About, LogEvent } from '@headwater/client'
import axe from 'axe-core'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { fakeConversations } from '../../../testing/fake-conversations'
import { answerOf, questionOf, ScriptedConversation } from '../../../testing/scripted-conversation'
import { ChatView } from './chat-view'

configure({ asyncUtilTimeout: 5_000 })

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

const ABOUT = { name: 'headwater', version: '1', model: 'scripted', demo: false, notice: null, models: [{ name: 'scripted', images: false }], max_body: 1_000_000 }
const SEES = { ...ABOUT, models: [{ name: 'scripted', images: true }] }

// jsdom lays nothing out, has no media and paints nothing; the browser's tests look at that.
beforeEach(() => {
  vi.spyOn(HTMLCanvasElement.prototype, 'getContext').mockReturnValue(null)
  vi.stubGlobal('ResizeObserver', class { observe() {} disconnect() {} })
  vi.stubGlobal('matchMedia', () => ({ matches: false, addEventListener() {}, removeEventListener() {} }))
  vi.stubGlobal('CSS', { escape: (text: string) => text })
  Element.prototype.scrollIntoView = () => {}
  // jsdom knows only the older way to read a file.
  Blob.prototype.arrayBuffer = function (this: Blob) {
    const reader = new FileReader()
    return new Promise((resolve) => {
      reader.onload = () => resolve(reader.result as ArrayBuffer)
      reader.readAsArrayBuffer(this)
    })
  }
  localStorage.clear()
  rendered.clear()
})
afterEach(() => {
  cleanup()
  vi.restoreAllMocks()
})

function open(conversation: ScriptedConversation, { about = ABOUT as About, conversations = fakeConversations(), readOnly = false } = {}) {
  render(<ChatView conversation={conversation} conversations={conversations} about={about} readOnly={readOnly} />)
  return { user: userEvent.setup(), conversations }
}
const box = () => screen.getByTestId<HTMLTextAreaElement>('composer')
const answers = () => screen.getAllByTestId('message-assistant')
const answer = () => answers().at(-1)!
const write = (conversation: ScriptedConversation, ...events: LogEvent[]) => act(() => conversation.write(...events))
const talk = () => new ScriptedConversation('chat', [questionOf('First?'), answerOf('One.'), questionOf('Second?'), answerOf('Two.')])

test('Enter asks, Shift+Enter breaks the line, and the answer grows', async () => {
  const conversation = new ScriptedConversation('chat')
  const { user, conversations } = open(conversation)
  await user.type(box(), 'Line one{Shift>}{Enter}{/Shift}line two')
  expect(conversations.draft('chat')).toBe('Line one\nline two')
  await user.keyboard('{Enter}')
  expect(within(screen.getByTestId('message-user')).getByText(/Line one/).textContent).toBe('Line one\nline two')
  expect(box().value).toBe('')
  expect(conversations.draft('chat')).toBe('')
  write(conversation, { type: 'text-delta', text: 'Some **bold**' })
  expect(within(answer()).getByText('bold').tagName).toBe('STRONG')
  expect(answer().querySelector('[aria-busy=true]')).not.toBeNull()
  write(conversation, { type: 'finish', reason: 'stop' })
  expect(answer().dataset.state).toBe('finished')
  expect(answer().querySelector('[aria-busy=true]')).toBeNull()
})

test('an Enter that accepts a candidate of an input method does not send', async () => {
  const conversation = new ScriptedConversation('chat')
  open(conversation)
  fireEvent.change(box(), { target: { value: 'にほんご' } })
  fireEvent.keyDown(box(), { key: 'Enter', isComposing: true })
  fireEvent.keyDown(box(), { key: 'Enter', keyCode: 229 })
  expect(conversation.calls).toEqual([])
})

test('where there is no fine pointer, Enter is a new line', async () => {
  vi.stubGlobal('matchMedia', () => ({ matches: true, addEventListener() {}, removeEventListener() {} }))
  const conversation = new ScriptedConversation('chat')
  const { user } = open(conversation)
  await user.type(box(), 'One{Enter}two')
  expect(box().value).toBe('One\ntwo')
  await user.click(screen.getByTestId('send'))
  expect(conversation.calls).toEqual(['send One\ntwo'])
})

test('a draft is there again', () => {
  const conversations = fakeConversations()
  conversations.keepDraft('chat', 'half a thought')
  open(new ScriptedConversation('chat'), { conversations })
  expect(box().value).toBe('half a thought')
})

test('questions wait in a queue, where they are changed, removed, or sent at once', async () => {
  const conversation = new ScriptedConversation('chat')
  const { user } = open(conversation)
  await user.type(box(), 'One{Enter}')
  for (const text of ['Two', 'Three', 'Four']) await user.type(box(), `${text}{Enter}`)
  const queue = () => within(screen.getByTestId('queue'))
  const waiting = () => queue().getAllByRole('listitem').map((item) => item.querySelector('.queue-text')!.textContent)
  expect(waiting()).toEqual(['Two', 'Three', 'Four'])
  expect(screen.getByTestId('announcer').textContent).toBe('The question waits for the running answer.')

  await user.type(box(), 'And more')
  await user.click(queue().getAllByLabelText('Edit this waiting question')[0]!)
  expect(box().value).toBe('Two\n\nAnd more')
  expect(document.activeElement).toBe(box())
  await user.click(queue().getAllByLabelText('Remove this waiting question')[0]!)
  expect(waiting()).toEqual(['Four'])
  expect(document.activeElement).toBe(box())

  await user.click(queue().getByText('Send now'))
  expect(answers()[0]!.dataset.state).toBe('stopped')
  expect(screen.getAllByTestId('message-user')[1]!.textContent).toContain('Four')
  expect(screen.queryByTestId('queue')).toBeNull()
})

test('Ctrl+Enter interrupts, and Esc only stops', async () => {
  const conversation = new ScriptedConversation('chat')
  const { user } = open(conversation)
  await user.type(box(), 'One{Enter}')
  await user.type(box(), 'Rather this{Control>}{Enter}{/Control}')
  expect(conversation.calls).toContain('interrupt Rather this')
  expect(answers().map(({ dataset }) => dataset.state)).toEqual(['stopped', 'streaming'])
  await user.keyboard('{Escape}')
  expect(answers().map(({ dataset }) => dataset.state)).toEqual(['stopped', 'stopped'])
  expect(document.activeElement).toBe(box())
})

test('the stop button hands the focus to the box', async () => {
  const conversation = new ScriptedConversation('chat')
  const { user } = open(conversation)
  await user.type(box(), 'One{Enter}')
  await user.click(screen.getByTestId('stop'))
  expect(screen.queryByTestId('stop')).toBeNull()
  expect(document.activeElement).toBe(box())
})

test('ArrowUp in the empty box edits the last question, which makes a branch to flip through', async () => {
  const conversation = talk()
  const { user } = open(conversation)
  await user.click(box())
  await user.keyboard('{ArrowUp}')
  const editor = () => screen.getByTestId<HTMLTextAreaElement>('edit-box')
  expect(editor().value).toBe('Second?')
  expect(document.activeElement).toBe(editor())
  await user.keyboard('{Escape}')
  expect(conversation.calls).toEqual([])
  expect(document.activeElement).toBe(box())

  await user.keyboard('{ArrowUp}')
  await user.keyboard('{Control>}a{/Control}Other?{Enter}')
  expect(document.activeElement).toBe(box())
  write(conversation, { type: 'text-delta', text: 'Other.' }, { type: 'finish', reason: 'stop' })
  const picker = () => within(screen.getByTestId('branches'))
  expect(picker().getByText('Version 2 of 2')).toBeTruthy()

  await user.click(picker().getByLabelText('Previous version'))
  expect(answer().textContent).toContain('Two.')
  // What was focused is gone, and its like has the focus.
  expect(document.activeElement).toBe(picker().getByLabelText('Previous version'))
  await user.keyboard('{ArrowRight}')
  expect(answer().textContent).toContain('Other.')
  expect(screen.getByTestId('branches').contains(document.activeElement)).toBe(true)
})

test('ArrowUp takes a waiting question back first, and is a plain key where there is text', async () => {
  const conversation = new ScriptedConversation('chat')
  const { user } = open(conversation)
  await user.type(box(), 'One{Enter}Two{Enter}')
  await user.keyboard('{ArrowUp}')
  expect(box().value).toBe('Two')
  await user.keyboard('{ArrowUp}')
  expect(screen.queryByTestId('edit-box')).toBeNull()
})

test('cancelling an edit goes back to its button', async () => {
  const { user } = open(talk())
  await user.click(screen.getAllByTestId('edit')[0]!)
  await user.click(screen.getByTestId('edit-cancel'))
  expect(document.activeElement).toBe(screen.getAllByTestId('edit')[0])
})

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
      saved: { seconds: 2.4, tokens: 90 },
      message: { ...message, usage },
    }),
  ])
  const { user } = open(conversation)
  expect(screen.getByTestId('cached-badge').textContent).toBe('cached · 3 min ago')
  expect(screen.queryByTestId('stats')).toBeNull()
  await user.click(screen.getByTestId('facts'))
  const facts = (await screen.findByTestId('stats')).textContent
  for (const words of ['From the cache, written 3 min ago', '2.4 s and 90 tokens', '420 ms', '45 tokens/s', '12 read (4 from the provider’s cache), 90 written', 'scripted', 'abc']) {
    expect(facts).toContain(words)
  }
  const copied = vi.spyOn(navigator.clipboard, 'writeText')
  await user.click(screen.getByText('Copy as curl'))
  expect(copied).toHaveBeenCalledWith("curl -N -H 'Accept: text/event-stream' 'https://chat.example/api/streams/abc'")
  await user.keyboard('{Escape}')
  expect(screen.queryByTestId('stats')).toBeNull()
  expect(document.activeElement).toBe(screen.getByTestId('facts'))
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

test('a text file goes with a question, and an image only to a model that takes it', async () => {
  const conversation = new ScriptedConversation('chat')
  const { user } = open(conversation)
  const note = new File(['Grüße'], 'note.txt', { type: 'text/plain' })
  const image = new File([new Uint8Array([137, 80, 78, 71])], 'seen.png', { type: 'image/png' })
  const picker = screen.getByTestId<HTMLInputElement>('file-picker')
  expect(picker.accept).not.toContain('image/')
  fireEvent.change(picker, { target: { files: [note, image, new File([new Uint8Array([0, 1])], 'blob.bin')] } })
  await screen.findByText('note.txt')
  expect(screen.getByText('seen.png: this model does not take images.')).toBeTruthy()
  expect(screen.getByText('blob.bin is neither an image nor a text.')).toBeTruthy()
  expect(screen.getByText(/^Up to 10 files/)).toBeTruthy()
  await user.type(box(), 'Read it{Enter}')
  const { files } = conversation.getSnapshot().turns[0] as { files: readonly { name: string; data: string }[] }
  expect(files.map(({ name }) => name)).toEqual(['note.txt'])
  expect(new TextDecoder().decode(Uint8Array.from(atob(files[0]!.data), (sign) => sign.charCodeAt(0)))).toBe('Grüße')
  expect(screen.queryByTestId('files')).toBeNull()
})

test('a pasted image is previewed, can be removed, and goes without words', async () => {
  const conversation = new ScriptedConversation('chat')
  const { user } = open(conversation, { about: SEES as About })
  const paste = () =>
    fireEvent.paste(box(), { clipboardData: { files: [new File([new Uint8Array([137, 80])], 'shot.png', { type: 'image/png' })], getData: () => '' } })
  paste()
  await screen.findByText('shot.png')
  await user.click(screen.getByLabelText('Remove shot.png'))
  expect(screen.queryByTestId('files')).toBeNull()
  expect(document.activeElement).toBe(box())
  paste()
  await screen.findByText('shot.png')
  await user.click(screen.getByTestId('send'))
  expect(screen.getByAltText('shot.png')).toBeTruthy()
})

test('files that are dropped on the page are taken, but not more than the limits', async () => {
  const { user: _ } = open(new ScriptedConversation('chat'))
  const files = Array.from({ length: 11 }, (_, index) => new File(['x'], `${index}.txt`, { type: 'text/plain' }))
  const dataTransfer = { types: ['Files'], files }
  fireEvent.dragOver(window, { dataTransfer })
  expect(screen.getByText('Drop files here to add them to the question')).toBeTruthy()
  fireEvent.drop(window, { dataTransfer })
  await screen.findByText('9.txt')
  expect(screen.queryByText('10.txt')).toBeNull()
  expect(screen.getByText('Only 10 files fit with one question.')).toBeTruthy()
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
