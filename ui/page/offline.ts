import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Plugin } from 'vite'

// What the page is without its scripts; the rest of the build is kept when it is first used. The index comes from
// `shared`, since a visitor without a session would be sent to the login instead.
const SHELL = ['shared', 'mark.svg', 'theme-early.js', 'manifest.webmanifest', 'icon-192.png']

/** Writes `sw.js`, which keeps the page for a visit without a network: worker.js with the names that this build has. */
export function offline(): Plugin {
  let root = ''
  return {
    name: 'offline',
    apply: 'build',
    configResolved: (config) => void (root = config.root),
    generateBundle(_, bundle) {
      const files = new Set<string>()
      const keep = (name: string) => {
        const chunk = bundle[name]
        if (chunk?.type !== 'chunk' || files.has(name)) return
        files.add(name)
        for (const style of chunk.viteMetadata?.importedCss ?? []) files.add(style)
        chunk.imports.forEach(keep)
      }
      // Libraries that only some answers need are large: their chunks hold no module of these folders.
      for (const [name, file] of Object.entries(bundle))
        if (file.type === 'chunk' && (file.isEntry || file.moduleIds.some((id) => /\/src\/(shell|words|chat)\//.test(id)))) keep(name)
      const kept = JSON.stringify([...SHELL, ...[...files].sort()])
      const source = readFileSync(join(root, 'worker.js'), 'utf8')
      // The index names the entry, whose name changes with any of its content.
      const version = createHash('sha256').update(kept).update(source).update(readFileSync(join(root, 'index.html'))).digest('hex').slice(0, 12)
      this.emitFile({ type: 'asset', fileName: 'sw.js', source: `const VERSION = '${version}'\nconst KEPT = ${kept}\n${source}` })
    },
  }
}
