import { cleanup, fireEvent, render, screen } from '@testing-library/react'
import { afterEach, expect, test, vi } from 'vitest'
import { Markdown } from './markdown'
import { safeUrl } from './safe-url'

afterEach(cleanup)

const show = (text: string) => render(<Markdown text={text} growing={false} />).container
const DOT = 'data:image/png;base64,iVBORw0KGgo='

test('an image that is in the text is shown', () => {
  expect(show(`![dot](${DOT})`).querySelector('img')?.getAttribute('src')).toBe(DOT)
})

test.each(['data:image/svg+xml;base64,PHN2Zy8+', 'data:text/html;base64,PGI+', 'mark.svg', '//evil.example/x.png', 'javascript:alert(1)'])(
  'an image at %s is not shown',
  (address) => {
    expect(show(`![x](${address})`).querySelector('img, a')).toBeNull()
  },
)

test('a remote image says whom opening it tells', () => {
  const link = show('![chart](https://pictures.example/x.png)').querySelector('a')
  expect(link?.textContent).toContain('pictures.example')
  expect(link?.title).toContain('pictures.example')
  expect(link?.rel).toBe('noopener noreferrer')
})

test.each(['https:evil', 'http:logout', 'https:\\\\evil.example', 'https://a@evil.example/', ' https://ok.example', 'HTTPS://'])('%j is no address', (href) => {
  expect(safeUrl(href)).toBeNull()
})

test('a link that leads nowhere says so', () => {
  expect(show('[x](file:///etc/passwd)').querySelector('.dead-link')?.getAttribute('title')).toContain('leads nowhere')
})

test('the buttons of a code block are one stop of the Tab key, and the arrow keys go along them', () => {
  const container = show('```python title="app.py"\nprint(1)\n```')
  const buttons = [...container.querySelectorAll<HTMLButtonElement>('[role=toolbar] button')]
  expect(buttons.map(({ tabIndex }) => tabIndex)).toEqual([-1, -1, 0])
  buttons[2]!.focus()
  fireEvent.keyDown(buttons[2]!, { key: 'ArrowLeft' })
  expect(document.activeElement).toBe(buttons[1])
  expect(buttons.map(({ tabIndex }) => tabIndex)).toEqual([-1, 0, -1])
  fireEvent.keyDown(buttons[1]!, { key: 'ArrowLeft' })
  // What it does shows the block anew, and the stop of the Tab key stays with the focus.
  fireEvent.click(buttons[0]!)
  expect(buttons.map(({ tabIndex }) => tabIndex)).toEqual([0, -1, -1])
  // Nothing to scroll, so nothing to stop at.
  expect(container.querySelector('pre')?.hasAttribute('tabindex')).toBe(false)
})

test('long lines wrap on demand', () => {
  const container = show('```\nlong\n```')
  fireEvent.click(screen.getByRole('button', { name: 'Wrap long lines' }))
  expect(container.querySelector('figure')?.hasAttribute('data-wrapped')).toBe(true)
})

test('a diagram is its source until it is drawn', () => {
  // jsdom has no media.
  vi.stubGlobal('matchMedia', () => new EventTarget())
  const container = show('```mermaid\nflowchart LR\n  A --> B\n```')
  expect(container.querySelector('.diagram')?.textContent).toContain('A --> B')
  expect(render(<Markdown text={'```mermaid\nflowchart'} growing />).container.querySelector('.diagram')).toBeNull()
})
