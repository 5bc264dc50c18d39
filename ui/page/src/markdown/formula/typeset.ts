import katex from 'katex'
import 'katex/dist/katex.min.css'

const OPTIONS = {
  throwOnError: true,
  trust: false,
  strict: 'ignore',
  maxExpand: 500,
  // In em: `\rule{1000em}{1000em}` would cover the page.
  maxSize: 30,
  output: 'htmlAndMathml',
} as const

/** The elements that show a formula. Raises KaTeX's ParseError, or a RangeError where it nests too deeply. */
export function typeset(tex: string, display: boolean): DocumentFragment {
  const html = katex.renderToString(tex, { ...OPTIONS, displayMode: display })
  const template = document.createElement('template')
  // The page's policy forbids style attributes, and not styles that a script sets. KaTeX escapes quotes in text.
  template.innerHTML = html.replaceAll(' style="', ' data-style="')
  for (const element of template.content.querySelectorAll<HTMLElement | SVGElement | MathMLElement>('[data-style]')) {
    element.style.cssText = element.dataset['style'] ?? ''
    delete element.dataset['style']
  }
  return template.content
}
