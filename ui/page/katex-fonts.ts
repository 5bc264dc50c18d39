import type { Plugin } from 'vite'

const STYLES = /katex(?:\.min)?\.css$/
const OLDER = /,\s*url\([^)]*\.(?:woff|ttf)\)\s*format\(["']?(?:woff|truetype)["']?\)/g

/** Leaves KaTeX's fonts in WOFF2 only, which every browser of the page can read: the older formats are twice as much again. */
export function katexFonts(): Plugin {
  return {
    name: 'katex-fonts',
    enforce: 'pre',
    transform(code, id) {
      return STYLES.test(id.split('?')[0]!) ? { code: code.replace(OLDER, ''), map: null } : null
    },
  }
}
