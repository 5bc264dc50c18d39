import { act, cleanup, configure, render, screen } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import type { About, LogEvent } from '@headwater/client'
import { afterEach, beforeAll, beforeEach, vi } from 'vitest'
import { fakeConversations } from '../../../testing/fake-conversations'
import { answerOf, questionOf, ScriptedConversation } from '../../../testing/scripted-conversation'
import { ChatView } from './chat-view'
import { loadTurnList } from './turns/later'

configure({ asyncUtilTimeout: 5_000 })

export const ABOUT = { name: 'headwater', version: '1', model: 'scripted', demo: false, notice: null, models: [{ name: 'scripted', images: false }], max_body: 1_000_000 }
export const SEES = { ...ABOUT, models: [{ name: 'scripted', images: true }] }

beforeAll(loadTurnList)
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
})
afterEach(() => {
  cleanup()
  vi.restoreAllMocks()
})

/** Shows a conversation as the page does. */
export function open(conversation: ScriptedConversation, { about = ABOUT as About, conversations = fakeConversations(), readOnly = false, wanted = null as string | null } = {}) {
  render(<ChatView conversation={conversation} conversations={conversations} about={about} readOnly={readOnly} wanted={wanted} />)
  return { user: userEvent.setup(), conversations }
}
export const box = () => screen.getByTestId<HTMLTextAreaElement>('composer')
export const answers = () => screen.getAllByTestId('message-assistant')
export const answer = () => answers().at(-1)!
export const write = (conversation: ScriptedConversation, ...events: LogEvent[]) => act(() => conversation.write(...events))
export const talk = () => new ScriptedConversation('chat', [questionOf('First?'), answerOf('One.'), questionOf('Second?'), answerOf('Two.')])
