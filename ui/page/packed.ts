import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import type { Plugin } from 'vite'

const SUFFIX = '?packed'

/** `import address from 'file?packed'`: the address of a gzipped copy, which the page unpacks itself.
 *
 * A large program then weighs on the Python package once, and not in each coding beside its plain form. While developing
 * the address is the plain file's.
 */
export function packed(): Plugin {
  let building = false
  return {
    name: 'packed',
    enforce: 'pre',
    configResolved: ({ command }) => void (building = command === 'build'),
    load(id) {
      if (!id.endsWith(SUFFIX)) return null
      const file = id.slice(0, -SUFFIX.length)
      if (!building) return `export default ${JSON.stringify(`/@fs${file}`)}`
      const source = gzipSync(readFileSync(file), { level: 9 })
      const name = `${file.split('/').at(-1)!.replace(/\.js$/, '')}.bin`
      return `export default import.meta.ROLLUP_FILE_URL_${this.emitFile({ type: 'asset', name, source })}`
    },
  }
}
