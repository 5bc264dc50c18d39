// Builds both packages into their dist/ folders: ESM, types and source maps. With `pack`, also writes their tarballs.
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

const UI = join(import.meta.dirname, '..')
const TARBALLS = join(UI, 'dist')
// The order matters: the types of the second are made from those of the first.
const FOLDERS = ['client', 'react'].map((name) => join(UI, 'packages', name))

const run = (...args) => execFileSync(process.execPath, args, { cwd: UI, stdio: 'inherit' })

for (const folder of FOLDERS) {
  // A file of an earlier build would be packed, too.
  rmSync(join(folder, 'dist'), { recursive: true, force: true })
  run(join(UI, 'node_modules/typescript/bin/tsc'), '-p', folder)
}

if (process.argv[2] === 'pack') {
  rmSync(TARBALLS, { recursive: true, force: true })
  mkdirSync(TARBALLS)
  for (const folder of FOLDERS) {
    // npm packs a licence from the package's own folder only; the repository has one for all.
    const licence = join(folder, 'LICENSE')
    copyFileSync(join(UI, '..', 'LICENSE'), licence)
    try {
      // The npm that runs this script: Node from PyPI has none on the PATH that can run.
      run(process.env.npm_execpath, 'pack', folder, '--silent', '--ignore-scripts', '--pack-destination', TARBALLS)
    } finally {
      rmSync(licence)
    }
  }
}
