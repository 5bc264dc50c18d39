import { afterEach, expect, test, vi } from 'vitest'
import { withLogin } from './login'

afterEach(() => vi.unstubAllGlobals())

test('a 401 leads to the login box once', async () => {
  vi.stubGlobal('fetch', async () => new Response('{}', { status: 401 }))
  const left: string[] = []
  const fetch = withLogin(document.baseURI, (url) => left.push(url))
  const settled = vi.fn()
  void fetch('/api/about').then(settled, settled)
  void fetch('/api/streams/x').then(settled, settled)
  await vi.waitFor(() => expect(left).toEqual([new URL('login?next=%2F', document.baseURI).href]))
  // A failure would be shown, and stored, as the end of the answer.
  expect(settled).not.toHaveBeenCalled()
})

test('every other response is passed on', async () => {
  vi.stubGlobal('fetch', async () => new Response('{}', { status: 403 }))
  const leave = vi.fn()
  expect((await withLogin(document.baseURI, leave)('/api/about')).status).toBe(403)
  expect(leave).not.toHaveBeenCalled()
})

test('a shared chat needs no login', async () => {
  vi.stubGlobal('fetch', async () => new Response('{}', { status: 401 }))
  history.replaceState(null, '', '/shared?id=token')
  const leave = vi.fn()
  expect((await withLogin(document.baseURI, leave)('/api/conversations')).status).toBe(401)
  expect(leave).not.toHaveBeenCalled()
  history.replaceState(null, '', '/')
})
