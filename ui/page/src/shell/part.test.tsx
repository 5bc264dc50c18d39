import { cleanup, render, screen, waitFor } from '@testing-library/react'
import { afterEach, expect, test, vi } from 'vitest'
import { part } from './part'

afterEach(cleanup)

test('a part that could not be loaded leaves the rest of the page, and is loaded the next time', async () => {
  vi.spyOn(console, 'error').mockReturnValue()
  const Later = ({ name }: { name: string }) => <p>Hello {name}</p>
  const load = vi.fn(async () => ({ default: Later })).mockRejectedValueOnce(new TypeError('offline'))
  const Part = part(load)
  const onFailure = vi.fn()
  const show = (key: number) => (
    <main>
      <p>The rest</p>
      <Part key={key} name="you" onFailure={onFailure} />
    </main>
  )
  const { rerender } = render(show(1))
  await waitFor(() => expect(onFailure).toHaveBeenCalledOnce())
  expect(screen.getByText('The rest')).toBeTruthy()
  rerender(show(2))
  expect(await screen.findByText('Hello you')).toBeTruthy()
  expect(load).toHaveBeenCalledTimes(2)
})
