import { expect, test } from 'vitest'
import { createCopies } from './copies.js'

/** As much of a browser's caches as copies need, oldest first. */
function fakeCaches() {
  const kept = new Map<string, string>()
  const cache = {
    async put(name: string, response: Response) {
      kept.set(name, await response.text())
    },
    match: async (name: string) => (kept.has(name) ? new Response(kept.get(name)) : undefined),
    delete: async (name: string) => kept.delete(name),
    keys: async () => [...kept.keys()],
  }
  return { kept, open: async () => cache, delete: async () => (kept.clear(), true) }
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 20))

test('the last twenty that were read are kept, once that is allowed', async () => {
  const caches = fakeCaches()
  const copies = createCopies('mine', caches as unknown as CacheStorage)
  for (let number = 0; number < 25; number++) copies.put(`chat-${number}`, { number })
  await settled()
  expect(caches.kept.size).toBe(0)
  copies.allow(true)
  await settled()
  expect(caches.kept.size).toBe(20)
  expect(await copies.get('chat-24')).toEqual({ number: 24 })
  expect(await copies.get('chat-0')).toBeNull()
  copies.drop('chat-24')
  expect(await copies.get('chat-24')).toBeNull()
})

test('where nothing may be kept, nothing is, and what was is forgotten', async () => {
  const caches = fakeCaches()
  const before = createCopies('mine', caches as unknown as CacheStorage)
  before.allow(true)
  before.put('chat', { title: 'Rivers' })
  await settled()
  const copies = createCopies('mine', caches as unknown as CacheStorage)
  expect(await copies.get('chat')).toEqual({ title: 'Rivers' })
  copies.allow(false)
  copies.put('chat', { title: 'Lakes' })
  await settled()
  expect(await copies.get('chat')).toBeNull()
})

test('a browser without caches has no copies', async () => {
  const copies = createCopies('mine', undefined)
  copies.allow(true)
  copies.put('chat', {})
  expect(await copies.get('chat')).toBeNull()
})
