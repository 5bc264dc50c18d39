import type { Plugin } from 'vite'

// Libraries that others carry along for what the page never does, and what stands in for them.
const STAND_INS: Readonly<Record<string, string>> = {
  // The packages of GFM can also write Markdown; the page only reads it.
  'mdast-util-to-markdown': 'export const defaultHandlers = {}\nexport const toMarkdown = () => ""',
  'markdown-table': 'export const markdownTable = () => ""',
}

/** Leaves out of the build what is never called: 8 kB of the first load, compressed. */
export function unused(): Plugin {
  return {
    name: 'unused',
    apply: 'build',
    enforce: 'pre',
    resolveId: (name) => (name in STAND_INS ? `\0${name}` : null),
    load: (id) => STAND_INS[id.slice(1)] ?? null,
  }
}
