import { appendFileSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { Plugin } from 'vite'

const require = createRequire(import.meta.url)
/** Packages that are in a worker only: Vite lists the licences of the page's own chunks. */
const IN_WORKERS = ['highlight.js']

/** Adds the licences of packages that the list of the build lacks. */
export function notices(list: string): Plugin {
  let folder = ''
  return {
    name: 'notices',
    apply: 'build',
    configResolved: ({ root, build }) => void (folder = join(root, build.outDir)),
    closeBundle() {
      for (const name of IN_WORKERS) {
        const about = require.resolve(`${name}/package.json`)
        const { version, license } = JSON.parse(readFileSync(about, 'utf8')) as { version: string; license: string }
        const text = readFileSync(join(dirname(about), 'LICENSE'), 'utf8')
        appendFileSync(join(folder, list), `\n## ${name} - ${version} (${license})\n\n${text}`)
      }
    },
  }
}
