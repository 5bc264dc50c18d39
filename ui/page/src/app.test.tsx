import { createTransport, ProblemError, type About } from '@headwater/client'
import { act, cleanup, render, screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { answer, fakeConversation, fakeConversations, question, summary, type FakeConversations } from '../../testing/fake-conversations'
import { App } from './app'
import { loadTurnList } from './chat/turns/later'
import { speak } from './words/language'
import type { Language } from './words/words'

let wide = true

// jsdom lays nothing out, has no media, no modal and no popover; none of it changes what these tests look at.
beforeAll(() => {
  vi.stubGlobal('ResizeObserver', class { observe() {} unobserve() {} disconnect() {} })
  vi.stubGlobal('IntersectionObserver', class { observe() {} unobserve() {} disconnect() {} })
  vi.stubGlobal('matchMedia', (query: string) => ({ matches: query.includes('min-width') && wide, addEventListener() {}, removeEventListener() {} }))
  const toggle = (open: boolean) =>
    function (this: HTMLElement) {
      this.dispatchEvent(Object.assign(new Event('toggle'), { newState: open ? 'open' : 'closed' }))
    }
  Object.assign(HTMLElement.prototype, { showPopover: toggle(true), hidePopover: toggle(false) })
  Object.assign(HTMLDialogElement.prototype, {
    showModal(this: HTMLDialogElement) {
      this.open = true
    },
    close(this: HTMLDialogElement) {
      this.open = false
    },
  })
})
beforeAll(loadTurnList)
beforeEach(() => {
  wide = true
  localStorage.clear()
  sessionStorage.clear()
  history.replaceState(null, '', '/')
})
afterEach(cleanup)

const ABOUT: About = { name: 'Headwater', version: '1', model: 'small', demo: false, notice: null, problem: null }
const HOUR = 3_600_000

async function open(conversations: FakeConversations, about: Partial<About> = {}, language: Language = 'en', asked = async () => {}) {
  localStorage.setItem('headwater.language', language)
  const transport = { ...createTransport(), get: async <T,>() => (await asked(), { ...ABOUT, ...about }) as T }
  const spoken = await speak(language)
  await act(async () => render(<App conversations={conversations} transport={transport} spoken={spoken} />))
  return userEvent.setup()
}

function chats(): FakeConversations {
  const now = Date.now()
  return fakeConversations(
    { items: [summary('rivers', 'Rivers', { updatedAt: now, live: true }), summary('seas', 'Seas', { updatedAt: now - 24 * HOUR }), summary('lakes', 'Lakes', { updatedAt: now - 400 * 24 * HOUR })] },
    fakeConversation({ id: 'rivers', title: 'Rivers', turns: [question('q', 'What is a river?'), answer('a', 'Water that goes **somewhere**.')] }),
  )
}
const menuItem = (name: string) => screen.getByRole('menuitem', { name, hidden: true })
const rowOf = (title: string) => screen.getByRole('link', { name: title }).closest('li')!

test('chats are listed by day, and each opens at its own address with its title', async () => {
  const user = await open(chats())
  const list = within(screen.getByTestId('sidebar'))
  const headings = list.getAllByRole('heading').map(({ textContent }) => textContent)
  expect(headings.slice(0, 2)).toEqual(['Today', 'Yesterday'])
  expect(headings[2]).toMatch(/^\w+ 20\d\d$/)
  expect(list.getAllByTestId('live-dot').length).toBe(1)

  await user.click(list.getByText('Rivers'))
  expect(location.search).toBe('?chat=rivers')
  expect(document.title).toBe('Rivers')
  expect(screen.getByTestId('message-user').textContent).toContain('What is a river?')

  act(() => history.back())
  await waitFor(() => expect(screen.getByText('What would you like to know?')).toBeTruthy())
  expect(document.title).toBe('Headwater')
})

test('a new chat takes its own address with its first question, in place of the empty one', async () => {
  const conversations = chats()
  await open(conversations)
  const [fresh] = [...conversations.opened.values()].filter(({ id }) => id.startsWith('new'))
  const before = history.length
  act(() => fresh!.set({ state: 'ready', title: 'Hi', turns: [question('h', 'Hi')] }))
  expect(location.search).toBe(`?chat=${fresh!.id}`)
  expect(history.length).toBe(before)
  expect(screen.getByTestId('message-user').textContent).toContain('Hi')
})

test('the new chat does not stop or change the one before it', async () => {
  history.replaceState(null, '', '/?chat=rivers')
  const conversations = chats()
  const user = await open(conversations)
  await user.click(screen.getByTestId('new-chat'))
  expect(location.search).toBe('')
  expect(conversations.opened.get('rivers')!.calls).toEqual([])
})

test('what was typed in a new chat is there after a reload', async () => {
  sessionStorage.setItem('headwater.fresh', 'before')
  const conversations = chats()
  conversations.keepDraft('before', 'Half a thought')
  await open(conversations)
  const made = sessionStorage.getItem('headwater.fresh')!
  expect(made).not.toBe('before')
  expect(conversations.draft(made)).toBe('Half a thought')
})

test('what is typed in a chat that has begun stays there', async () => {
  sessionStorage.setItem('headwater.fresh', 'rivers')
  history.replaceState(null, '', '/?chat=rivers')
  const conversations = chats()
  conversations.keepDraft('rivers', 'Half a thought')
  const user = await open(conversations)
  await user.click(screen.getByTestId('new-chat'))
  expect(conversations.draft('rivers')).toBe('Half a thought')
  expect(screen.getByTestId<HTMLTextAreaElement>('composer').value).toBe('')
})

test('older chats that do not come say whether the server is away', async () => {
  const conversations = chats()
  conversations.set({ more: true })
  const user = await open({ ...conversations, loadMore: () => Promise.reject(new TypeError('Failed to fetch')) })
  await user.click(within(screen.getByTestId('sidebar')).getAllByRole('button', { name: 'More' })[0]!)
  expect(conversations.calls).toContainEqual(['wake'])
})

test('a chat is renamed in the list, and Esc leaves its name', async () => {
  const conversations = chats()
  const user = await open(conversations)
  await user.click(within(rowOf('Seas')).getByText('Rename'))
  await user.clear(screen.getByTestId('title-field'))
  await user.type(screen.getByTestId('title-field'), 'Oceans{Enter}')
  expect(conversations.calls).toContainEqual(['rename', 'seas', 'Oceans'])
  screen.getByRole('link', { name: 'Oceans' }).focus()
  await user.keyboard('{F2}')
  await user.type(screen.getByTestId('title-field'), 'x{Escape}')
  expect(screen.getByRole('link', { name: 'Oceans' })).toBeTruthy()
})

test('a deleted chat can be had back', async () => {
  history.replaceState(null, '', '/?chat=rivers')
  const user = await open(chats())
  await user.click(within(rowOf('Rivers')).getByText('Delete'))
  expect(location.search).toBe('')
  expect(screen.getByTestId('undo-toast').textContent).toContain('“Rivers” is deleted.')
  await user.click(screen.getByTestId('undo'))
  expect(location.search).toBe('?chat=rivers')
  expect(screen.queryByTestId('undo-toast')).toBeNull()
})

test('a chat that is gone says so', async () => {
  history.replaceState(null, '', '/?chat=gone')
  await open(fakeConversations({}, fakeConversation({ id: 'gone', state: 'missing' })))
  expect(screen.getByTestId('missing').textContent).toContain('This chat is not here')
})

test('Ctrl+K searches; the arrow keys and Enter open what is found, and a newer word ends the older search', async () => {
  const conversations = chats()
  const signals: AbortSignal[] = []
  const search: FakeConversations['search'] = async (words, signal) => {
    signals.push(signal)
    return words === 'sea' ? { matches: [], complete: true } : { matches: ['rivers', 'seas'].map((id) => ({ ...summary(id, id), message: null, excerpt: `the deep ${words} here` })), complete: true }
  }
  const user = await open({ ...conversations, search })
  await user.keyboard('{Control>}k{/Control}')
  const field = await screen.findByTestId('search-field')
  expect(document.activeElement).toBe(field)
  expect(screen.getAllByTestId('search-result').length).toBe(3)
  await user.type(field, 'sea')
  await waitFor(() => expect(screen.getByText('No chat has all of these words.')).toBeTruthy())
  await user.type(field, ' blue')
  await waitFor(() => expect(screen.getAllByTestId('search-result').length).toBe(2))
  expect(signals[0]!.aborted).toBe(true)
  expect([...document.querySelectorAll('mark')].map(({ textContent }) => textContent)).toContain('blue')
  await user.keyboard('{ArrowDown}{Enter}')
  expect(location.search).toBe('?chat=seas')
  expect(screen.queryByTestId('search-dialog')).toBeNull()
})

test('Enter opens nothing that older words have found, and a search without time for all chats says so', async () => {
  const found = { matches: [{ ...summary('seas', 'Seas'), message: null, excerpt: '' }], complete: true }
  const search: FakeConversations['search'] = async (words) => (words === 'sea' ? found : { matches: [], complete: false })
  const user = await open({ ...chats(), search })
  await user.keyboard('{Control>}k{/Control}')
  const field = await screen.findByTestId('search-field')
  await user.type(field, 'sea')
  await waitFor(() => expect(screen.getAllByTestId('search-result').length).toBe(1))
  await user.type(field, ' x{Enter}')
  expect(location.search).toBe('')
  await waitFor(() => expect(screen.getByText('Found: 0 The search took too long to look at all chats.')).toBeTruthy())
})

test('Ctrl+Shift+O begins a new chat and Ctrl+/ lists the keys', async () => {
  history.replaceState(null, '', '/?chat=rivers')
  const user = await open(chats())
  await user.keyboard('{Control>}{Shift>}O{/Shift}{/Control}')
  expect(location.search).toBe('')
  await user.keyboard('{Control>}/{/Control}')
  expect((await screen.findByTestId('keys-dialog')).textContent).toContain('Ctrl+Shift+O')
})

test('the settings of a chat are kept with it, and only what the server takes', async () => {
  history.replaceState(null, '', '/?chat=rivers')
  const conversations = chats()
  const user = await open(conversations, { models: [{ name: 'small', images: false }, { name: 'large', images: true }] })
  await user.selectOptions(screen.getByTestId('model-picker'), 'large')
  await user.click(screen.getByTestId('settings'))
  await user.type(await screen.findByTestId('setting-system'), 'Be brief.')
  await user.type(screen.getByTestId('setting-temperature'), '0.5')
  await user.type(screen.getByTestId('setting-top-p'), '7')
  await user.type(screen.getByTestId('setting-max-tokens'), '100{Tab}')
  expect(conversations.opened.get('rivers')!.getSnapshot().settings).toEqual({ model: 'large', system: 'Be brief.', temperature: 0.5, max_tokens: 100 })
  await user.clear(screen.getByTestId('setting-system'))
  await user.tab()
  expect(conversations.opened.get('rivers')!.getSnapshot().settings).not.toHaveProperty('system')
})

test('settings wait until they are known', async () => {
  history.replaceState(null, '', '/?chat=rivers')
  const rivers = fakeConversation({ id: 'rivers', state: 'loading' })
  const user = await open(fakeConversations({}, rivers), { models: [{ name: 'small', images: false }, { name: 'large', images: true }] })
  expect(screen.getByTestId<HTMLSelectElement>('model-picker').disabled).toBe(true)
  await user.click(screen.getByTestId('settings'))
  const system = () => screen.getByTestId<HTMLTextAreaElement>('setting-system')
  expect((await screen.findByTestId('setting-system')).closest('fieldset')!.disabled).toBe(true)
  act(() => rivers.set({ state: 'ready', settings: { system: 'Be brief.' } }))
  expect(system().value).toBe('Be brief.')
  expect(system().closest('fieldset')!.disabled).toBe(false)
})

test('the language changes at once, to one that reads from the right, and is kept', async () => {
  const user = await open(chats())
  await user.click(screen.getByTestId('settings'))
  await user.selectOptions(await screen.findByTestId('setting-language'), 'ar')
  await waitFor(() => expect(document.documentElement.dir).toBe('rtl'))
  expect(document.documentElement.lang).toBe('ar')
  expect(screen.getByText('أمس')).toBeTruthy()
  expect(localStorage.getItem('headwater.language')).toBe('ar')
})

test('German is German throughout the shell, and the demo model is asked in the language it has', async () => {
  const user = await open(fakeConversations(), { demo: true }, 'de')
  expect(screen.getByText('Was möchten Sie wissen?')).toBeTruthy()
  expect(screen.getByTestId('demo-banner').textContent).toContain('Demo-Modell')
  await user.click(screen.getByTestId('settings'))
  expect((await screen.findByTestId('settings-dialog')).textContent).toContain('Einstellungen')
})

test('the theme is toggled and remembered', async () => {
  const user = await open(chats())
  await user.click(screen.getByTestId('theme'))
  expect(document.documentElement.dataset.theme).toBe('dark')
  expect(localStorage.getItem('headwater.theme')).toBe('dark')
})

test('a server that is away is named, with the next try and a way not to wait for it', async () => {
  const conversations = chats()
  const user = await open(conversations)
  act(() => conversations.set({ connection: { state: 'reconnecting', retryAt: Date.now() + 8000 } }))
  expect(screen.getByTestId('connection-banner').textContent).toMatch(/cannot be reached.*Next try in [78] sec/)
  await user.click(screen.getByTestId('try-now'))
  expect(conversations.calls).toContainEqual(['wake'])
  act(() => conversations.set({ connection: { state: 'live', retryAt: null } }))
  expect(screen.queryByTestId('connection-banner')).toBeNull()
})

test('a page that began without its server learns later who it is', async () => {
  const conversations = chats()
  let away = true
  await open(conversations, {}, 'en', async () => {
    if (away) throw new TypeError('away')
  })
  expect(screen.queryByText('small')).toBeNull()
  act(() => conversations.set({ connection: { state: 'reconnecting', retryAt: null } }))
  away = false
  act(() => conversations.set({ connection: { state: 'live', retryAt: null } }))
  expect(await screen.findByText('small')).toBeTruthy()
})

test('the cache panel shows what was saved, and clears only when asked twice', async () => {
  const conversations = chats()
  let entries = 5
  const cache = async () => ({ answers: 9, hits: 3, joins: 1, saved: { seconds: 75, tokens: 1234, cost: 2.5 }, entries })
  const clearCache = async () => void (entries = 0)
  const user = await open({ ...conversations, cache, clearCache })
  await user.click(menuItem('What the cache saved'))
  const figures = await screen.findByTestId('cache-figures')
  expect(figures.textContent).toContain('1,234')
  expect(figures.textContent).toContain('Money saved$2.50')
  await user.click(screen.getByTestId('cache-clear'))
  expect(entries).toBe(5)
  await user.click(screen.getByRole('button', { name: 'Cancel' }))
  expect(document.activeElement).toBe(screen.getByTestId('cache-clear'))
  await user.click(screen.getByTestId('cache-clear'))
  await user.click(screen.getByTestId('cache-clear-yes'))
  await screen.findByText('Your entries are cleared.')
  expect(entries).toBe(0)
  // What had the focus has gone, and nothing is left to clear.
  const button = screen.getByTestId('cache-clear')
  await waitFor(() => expect(button.getAttribute('aria-disabled')).toBe('true'))
  expect(document.activeElement).toBe(button)
})

test('a live link is made, shown and revoked', async () => {
  history.replaceState(null, '', '/?chat=rivers')
  const conversations = chats()
  const user = await open(conversations)
  await user.click(menuItem('Share a live link'))
  await user.click(await screen.findByTestId('share-make'))
  expect(conversations.opened.get('rivers')!.calls).toContainEqual(['share'])
  act(() => conversations.opened.get('rivers')!.set({ shared: 'https://example.org/shared?id=t' }))
  expect((screen.getByTestId('address') as HTMLInputElement).value).toBe('https://example.org/shared?id=t')
  await user.click(screen.getByTestId('share-end'))
  expect(conversations.opened.get('rivers')!.calls).toContainEqual(['unshare'])
})

test('a shared chat is read-only and says whose it is not', async () => {
  history.replaceState(null, '', '/shared?id=token')
  const shared = fakeConversation({ id: 'shared-token', title: 'Rivers', turns: [question('q', 'What is a river?'), answer('a', 'Water.')] })
  await open(fakeConversations({}, shared))
  expect(screen.getByTestId('shared-banner').textContent).toContain('not yours')
  expect(screen.queryByTestId('composer')).toBeNull()
  expect(document.title).toBe('Rivers')
})

test('a file that is no chat is refused with the reason', async () => {
  const importFile = () => Promise.reject(new ProblemError(422, 'invalid', 'It is not a chat.', false, null))
  const user = await open({ ...chats(), importFile })
  // jsdom's files cannot be read.
  const file = Object.assign(new File(['{}'], 'chat.json', { type: 'application/json' }), { text: async () => '{}' })
  await user.upload(screen.getByTestId('import-file'), file)
  expect((await screen.findByTestId('toast')).textContent).toContain('could not be imported. It is not a chat.')
})

test('on a narrow screen the list is a drawer that closes with what is chosen', async () => {
  wide = false
  const user = await open(chats())
  expect(screen.queryByTestId('sidebar')).toBeNull()
  await user.click(screen.getByTestId('open-chats'))
  const drawer = within(screen.getByTestId('drawer'))
  await user.click(drawer.getAllByText('Delete')[1]!)
  expect(within(screen.getByTestId('drawer')).getByTestId('undo-toast')).toBeTruthy()
  await user.click(drawer.getByText('Rivers'))
  expect(screen.queryByTestId('drawer')).toBeNull()
  expect(location.search).toBe('?chat=rivers')
})

test('the sidebar closes, and stays closed', async () => {
  const user = await open(chats())
  await user.click(screen.getByTestId('close-chats'))
  expect(screen.queryByTestId('sidebar')).toBeNull()
  expect(localStorage.getItem('headwater.sidebar')).toBe('closed')
  await user.click(screen.getByTestId('open-chats'))
  expect(screen.getByTestId('sidebar')).toBeTruthy()
})

test('a server that cannot answer says what is missing and what to do', async () => {
  await open(chats(), { problem: 'The package is not installed. Install it with `pip install x`.' })
  const banner = screen.getByTestId('problem-banner')
  expect(banner.textContent).toBe('Not ready The package is not installed. Install it with pip install x.')
  expect(within(banner).getByText('pip install x').tagName).toBe('CODE')
})
