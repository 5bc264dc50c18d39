import { expect, test } from 'vitest'
import { takeSlot, withSlot, type Locks, type Slot } from './slots.js'

/** The locks of one origin, as browsers grant them. */
class FakeLocks {
  readonly #held = new Map<string, (reason: unknown) => void>()
  readonly #waiting = new Map<string, (() => void)[]>()

  request = async (name: string, options: LockOptions, use: (lock: Lock | null) => Promise<unknown>): Promise<unknown> => {
    options.signal?.throwIfAborted()
    if (options.steal) this.#held.get(name)?.(new DOMException('stolen', 'AbortError'))
    else if (this.#held.has(name)) {
      if (options.ifAvailable) return use(null)
      await new Promise<void>((resolve, reject) => {
        const queue = this.#waiting.get(name) ?? []
        this.#waiting.set(name, queue)
        queue.push(resolve)
        options.signal?.addEventListener('abort', () => {
          queue.splice(queue.indexOf(resolve), 1)
          reject(options.signal!.reason)
        })
      })
    }
    const lost = new Promise((_, reject) => this.#held.set(name, reject))
    const mine = this.#held.get(name)
    return Promise.race([use({ name, mode: 'exclusive' }), lost]).finally(() => {
      if (this.#held.get(name) !== mine) return
      this.#held.delete(name)
      this.#waiting.get(name)?.shift()?.()
    })
  }
}

const never = new AbortController().signal
const take = (locks: FakeLocks, hidden: boolean, signal = never) => takeSlot(locks as unknown as Locks, () => hidden, signal)
const four = (locks: FakeLocks) => Promise.all([1, 2, 3, 4].map(() => take(locks, true)))

test('a tab that is looked at takes the connection of another one', async () => {
  const locks = new FakeLocks()
  const held = [await take(locks, true), await take(locks, true), await take(locks, true), await take(locks, true)]
  expect(held.some(({ lost }) => lost.aborted)).toBe(false)
  await take(locks, false)
  await Promise.race(held.map(({ lost }) => new Promise((resolve) => lost.addEventListener('abort', resolve))))
  expect(held.filter(({ lost }) => lost.aborted)).toHaveLength(1)
})

test('a tab in the background waits for a connection, unless it leaves', async () => {
  const locks = new FakeLocks()
  const held: Slot[] = await four(locks)
  const left = new AbortController()
  const leaving = take(locks, true, left.signal)
  left.abort()
  await expect(leaving).rejects.toThrow('aborted')
  const waiting = take(locks, true)
  for (const { free } of held) free()
  expect((await waiting).lost.aborted).toBe(false)
})

test('a response gives its connection back when it ends, and breaks when it is taken', async () => {
  const locks = new FakeLocks()
  const slot = await take(locks, false)
  expect(await withSlot(new Response('whole'), slot).text()).toBe('whole')
  const endless = new Response(new ReadableStream({ pull: (controller) => controller.enqueue(new TextEncoder().encode('.')) }))
  const held = await four(locks)
  const reader = withSlot(endless, held[0]!).body!.getReader()
  await reader.read()
  for (let tab = 0; tab < 200 && !held[0]!.lost.aborted; tab++) await take(locks, false)
  await expect(reader.read().then(() => reader.read())).rejects.toThrow('Another tab')
})
