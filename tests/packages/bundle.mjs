// Bundles and minifies an entry of an app: node bundle.mjs <ui folder> <entry> [external …]. Prints the code.
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

const [ui, entry, ...external] = process.argv.slice(2)
const vite = createRequire(join(ui, 'package.json')).resolve('vite')
const { rolldown } = await import(pathToFileURL(createRequire(vite).resolve('rolldown')))
const bundle = await rolldown({
  input: resolve(entry),
  external,
  platform: 'browser',
  transform: { define: { 'process.env.NODE_ENV': '"production"' } },
})
const { output } = await bundle.generate({ format: 'esm', minify: true })
process.stdout.write(output[0].code)
