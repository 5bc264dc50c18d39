import { cleanup, render } from '@testing-library/react'
import { afterEach, expect, test } from 'vitest'
import { Markdown } from './markdown'

afterEach(cleanup)

const show = (text: string, growing = false) => render(<Markdown text={text} growing={growing} />).container

test.each([
  '<img src=x onerror="alert(1)">',
  '<script>alert(1)</script>',
  '<svg onload=alert(1)><a href="javascript:alert(1)">x</a></svg>',
  '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
  'text <b onmouseover=alert(1)>bold</b>',
  '[click](javascript:alert(1))',
  '[click](JaVaScRiPt:alert(1))',
  '[click](java\nscript:alert(1))',
  '[click](&#106;avascript:alert(1))',
  '[click](data:text/html,<script>alert(1)</script>)',
  '[click](vbscript:x)',
  '[click](/api/streams/x/stop)',
  '[click](//evil.example)',
  '<javascript:alert(1)>',
  '![x](javascript:alert(1))',
  '[x]\n\n[x]: javascript:alert(1)',
])('%j comes out inert', (text) => {
  for (const growing of [true, false]) {
    const container = show(text, growing)
    expect(container.querySelector('script, img, iframe, svg:not(.icon), object, embed, form, base, style')).toBeNull()
    for (const element of container.querySelectorAll('*')) {
      expect([...element.attributes].filter(({ name }) => name.startsWith('on'))).toEqual([])
      expect(element.getAttribute('href')).toBeNull()
    }
    cleanup()
  }
})

test('raw HTML is shown as the text it is', () => {
  expect(show('a <img src=x onerror=alert(1)> b').textContent).toContain('<img src=x onerror=alert(1)>')
})

test('links leave the page safely', () => {
  const links = [...show('[a](https://example.org) <me@example.org> http://example.org/auto').querySelectorAll('a')]
  expect(links.map((link) => link.getAttribute('href'))).toEqual(['https://example.org', 'mailto:me@example.org', 'http://example.org/auto'])
  for (const link of links) {
    expect(link.getAttribute('rel')).toBe('noopener noreferrer')
    expect(link.getAttribute('target')).toBe('_blank')
  }
})

test('a remote image is a link: showing it would send its server the content of its address', () => {
  const container = show('![chart](https://evil.example/x.png?q=secret)')
  expect(container.querySelector('img')).toBeNull()
  expect(container.querySelector('a')?.textContent).toContain('Image: chart')
  expect(container.querySelector('a')?.textContent).toContain('evil.example')
})

test('syntax that is still being written does not show', () => {
  expect(show('Some **bold', true).innerHTML).toContain('<strong>bold</strong>')
  expect(show('See [the docs](https://exa', true).textContent).toBe('See the docs')
  expect(show('Code:\n\n``', true).textContent?.trim()).toBe('Code:')
})

test('a fence that is still open is a code block, with its language', () => {
  const container = show('```python\nprint(1)', true)
  expect(container.querySelector('pre code')?.textContent).toContain('print(1)')
  expect(container.querySelector('figcaption')?.textContent).toContain('python')
})

test('what streamed looks like what is rendered whole', () => {
  const text = '# A\n\nSome *words*.\n\n| a | b |\n|--|--|\n| 1 | 2 |\n\n```js\nlet x\n```\n\n- [x] done\n'
  const { container, rerender } = render(<Markdown text="" growing />)
  for (let end = 1; end <= text.length; end++) rerender(<Markdown text={text.slice(0, end)} growing />)
  rerender(<Markdown text={text} growing={false} />)
  expect(container.innerHTML).toBe(show(text).innerHTML)
})

test('a seam is noted after its block, and nowhere while its place is not known', () => {
  const seam = { type: 'continued', cause: 'server', way: 'prefill', after: '1' } as const
  const noted = (at?: number) => {
    const seams = [at === undefined ? seam : { ...seam, at }]
    const { container } = render(<Markdown text={'One.\n\nTwo.'} growing={false} seams={seams} />)
    return [...container.querySelectorAll('p')].map(({ className }) => className)
  }
  expect(noted(4)).toEqual(['', 'seam', ''])
  expect(noted()).toEqual(['', ''])
})
