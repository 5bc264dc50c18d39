import { fireEvent, screen, waitFor, within } from '@testing-library/react'
import type { About } from '@headwater/client'
import { expect, test, vi } from 'vitest'
import { fakeConversations } from '../../../testing/fake-conversations'
import { ScriptedConversation } from '../../../testing/scripted-conversation'
import { SEES, answer, answers, box, open, talk, write } from './chat-view.fixture'

const unread = vi.hoisted(() => ({ now: false }))
vi.mock('./ask/read-files', async (original) => {
  const { readFiles } = await original<typeof import('./ask/read-files')>()
  return { readFiles: (...all: Parameters<typeof readFiles>) => (unread.now ? Promise.reject(new TypeError('offline')) : readFiles(...all)) }
})

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

test('an Enter right after a paste sends the picture with its question', async () => {
  const conversation = new ScriptedConversation('chat')
  open(conversation, { about: SEES as About })
  fireEvent.paste(box(), { clipboardData: { files: [new File([new Uint8Array([137, 80])], 'shot.png', { type: 'image/png' })], getData: () => '' } })
  fireEvent.change(box(), { target: { value: 'What is this?' } })
  fireEvent.keyDown(box(), { key: 'Enter' })
  await waitFor(() => expect(conversation.getSnapshot().turns[0]).toMatchObject({ text: 'What is this?', files: [{ name: 'shot.png' }] }))
  expect(screen.queryByTestId('files')).toBeNull()
  expect(box().value).toBe('')
})

test('two drops at once are counted together', async () => {
  open(new ScriptedConversation('chat'))
  const drop = (name: string) => {
    const files = Array.from({ length: 6 }, (_, index) => new File(['x'], `${name}${index}.txt`, { type: 'text/plain' }))
    fireEvent.drop(window, { dataTransfer: { types: ['Files'], files } })
  }
  drop('a')
  drop('b')
  await screen.findByText('b3.txt')
  expect(screen.getAllByText('Only 10 files fit with one question.')).toHaveLength(2)
})

test('a file that cannot be read is named, and its question waits', async () => {
  const conversation = new ScriptedConversation('chat')
  const { user } = open(conversation)
  unread.now = true
  fireEvent.change(screen.getByTestId('file-picker'), { target: { files: [new File(['x'], 'note.txt', { type: 'text/plain' })] } })
  fireEvent.change(box(), { target: { value: 'Read it' } })
  fireEvent.keyDown(box(), { key: 'Enter' })
  await screen.findByText('note.txt could not be read.')
  unread.now = false
  expect(conversation.calls).toEqual([])
  await user.type(box(), '{Enter}')
  expect(conversation.calls).toEqual(['send Read it'])
})
