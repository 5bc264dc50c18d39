import { cleanup, render, waitFor } from '@testing-library/react'
import { afterEach, expect, test } from 'vitest'
import { Markdown } from '../markdown'
import { typeset } from './typeset'

afterEach(cleanup)

test('a formula is its exact source until it can be set, and then what it means', async () => {
  const { container } = render(<Markdown text="The area is $\pi r^2\,$ or \(a \, b\)." growing={false} />)
  expect(container.textContent).toBe('The area is $\\pi r^2\\,$ or \\(a \\, b\\).')
  await waitFor(() => expect(container.querySelectorAll('.formula[data-state=shown] math')).toHaveLength(2), { timeout: 10_000 })
})

test('a formula that is written otherwise is set again', async () => {
  const { container, rerender } = render(<Markdown text="$a$" growing={false} />)
  const set = () => waitFor(() => expect(container.querySelector('.formula[data-state=shown] math')).not.toBeNull(), { timeout: 10_000 })
  await set()
  rerender(<Markdown text="\(a\)" growing={false} />)
  await set()
})

test('a formula that is still being written, or cannot be read, is its source', async () => {
  const { container } = render(<Markdown text="Bad: $\foo{$. Unfinished: \(a_1 * b_2" growing />)
  await waitFor(() => expect(container.querySelector('.formula[data-state=failed]')?.textContent).toBe('$\\foo{$'), { timeout: 10_000 })
  expect(container.textContent).toContain('\\(a_1 * b_2')
})

test.each(['\\href{javascript:alert(1)}{x}', '\\url{https://evil.example}', '\\includegraphics{x}', '\\htmlData{a=b}{x}', '\\htmlStyle{color:red}{x}'])(
  '%s makes no link, image or attribute',
  (tex) => {
    const holder = document.createElement('div')
    try {
      holder.append(typeset(tex, false))
    } catch (error) {
      expect(error).toBeInstanceOf(Error)
    }
    expect(holder.querySelector('a, img, [data-a]')).toBeNull()
  },
)

test('styles are set by script and never as markup, also where a text looks like one', () => {
  const holder = document.createElement('div')
  holder.append(typeset('\\text{ style="position:fixed"} \\frac{a}{b}', true))
  expect(holder.querySelector<HTMLElement>('.mord .vlist')?.style.height).not.toBe('')
  expect(holder.querySelector('[data-style]')).toBeNull()
  expect([...holder.querySelectorAll<HTMLElement>('*')].filter((element) => element.style?.position === 'fixed')).toEqual([])
})

test.each(['\\def\\a{\\a\\a}\\a', '{'.repeat(3000)])('%s ends in an error', (tex) => {
  expect(() => typeset(tex, false)).toThrow()
})
