import { cleanup, render } from '@testing-library/react'
import { afterEach, expect, test, vi } from 'vitest'
import { guarded } from './guarded'
import { Markdown } from './markdown'
import { tamed } from './tame'

afterEach(cleanup)

test.each(['> a\n> > b\n- c\n  1. d', `${'> '.repeat(30)}a`, '----------', '- - -', '1.2.3.4.'.repeat(50), '>'.repeat(30)])('%j is left as it is', (text) => {
  expect(tamed(text)).toBe(text)
})

test.each([['>', 10_000], ['> ', 5000], ['- ', 5000], ['1. ', 3000], ['> - ', 3000]])('%j × %i is shown all the same', (mark, times) => {
  const text = `Before\n\n${mark.repeat(times)}a\n\nAfter **all**`
  expect(tamed(text)).toHaveLength(text.length)
  const { container } = render(<Markdown text={text} growing={false} />)
  expect(container.textContent).toContain('After all')
  expect(container.querySelectorAll('blockquote, li').length).toBeLessThan(70)
})

test('a text on which rendering breaks is shown as it is', () => {
  vi.spyOn(console, 'error').mockImplementation(() => undefined)
  const Broken = guarded(({ text }: { text: string }) => {
    throw new RangeError(text)
  })
  expect(render(<Broken text="**words**" />).container.textContent).toBe('**words**')
  vi.restoreAllMocks()
})
