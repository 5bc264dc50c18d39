import hljs from 'highlight.js/lib/core'
import javascript from 'highlight.js/lib/languages/javascript'
import xml from 'highlight.js/lib/languages/xml'
import { expect, test } from 'vitest'
import { fileNameOf, highlighterOf } from './languages'
import { PART, paint, partsOf } from './paint'
import { KINDS, tokenize } from './tokens'

hljs.registerLanguage('javascript', javascript)
hljs.registerLanguage('xml', xml)

const CODE = 'const a = "<b>&amp;\'" // 1 < 2\nreturn `x${a}`\n'
const MARKUP = '<script>alert(1)</script><p class="x">&amp;</p>\n'

function runsOf(code: string, language: string): [string, string][] {
  const runs = tokenize(hljs, code, language)
  const pieces: [string, string][] = []
  let at = 0
  for (let index = 0; index < runs.length; index += 2) {
    pieces.push([code.slice(at, (at += runs[index]!)), KINDS[runs[index + 1]!]!])
  }
  expect(at).toBe(code.length)
  return pieces
}

test('the runs of a code are its text, with what each is', () => {
  expect(runsOf(CODE, 'javascript')).toContainEqual(['const', 'keyword'])
  expect(runsOf(CODE, 'javascript')).toContainEqual(['"<b>&amp;\'"', 'string'])
  expect(runsOf(CODE, 'javascript')).toContainEqual(['// 1 < 2', 'comment'])
})

test('markup in a code is text to the highlighter and after it', () => {
  expect(runsOf(MARKUP, 'xml').map(([text]) => text).join('')).toBe(MARKUP)
})

test('a code is cut into parts of whole lines that are the code', () => {
  const code = Array.from({ length: PART * 2 + 5 }, (_, line) => `line ${line}`).join('\n')
  expect(partsOf(code)).toHaveLength(3)
  expect(partsOf(code).join('')).toBe(code)
  expect(partsOf(code)[0]?.endsWith('\n')).toBe(true)
  expect(partsOf('')).toEqual([''])
})

test('colours change no character, and runs go on over the border of two parts', async () => {
  const parts = ['/* one\n', 'two */ x\n'].map((text) => Object.assign(document.createElement('span'), { textContent: text }))
  const code = parts.map((part) => part.textContent).join('')
  await paint(parts, tokenize(hljs, code, 'javascript'), new AbortController().signal)
  expect(parts.map((part) => part.innerHTML)).toEqual(['<span class="t-comment">/* one\n</span>', '<span class="t-comment">two */</span> x\n'])
})

test.each([
  ['py', 'python'],
  ['TypeScript', 'typescript'],
  ['c++', 'cpp'],
  ['sh', 'bash'],
  ['brainfuck', null],
  ['__proto__', null],
  ['constructor', null],
])('the language %s is highlighted as %s', (language, name) => {
  expect(highlighterOf(language)).toBe(name)
})

test.each([
  ['python', null, 'code.py'],
  ['dockerfile', null, 'Dockerfile'],
  [null, null, 'code.txt'],
  ['unheard-of', null, 'code.txt'],
  ['js', 'title="src/app.js"', 'app.js'],
  ['js', 'title="../../.bashrc"', 'code.js'],
  ['js', 'title="a\u202egpj.exe"', 'code.js'],
])('a file of %s with %s is called %s', (language, meta, name) => {
  expect(fileNameOf(language, meta)).toBe(name)
})
