import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'
import { compressed } from './compressed.ts'
import { katexFonts } from './katex-fonts.ts'
import { notices } from './notices.ts'
import { offline } from './offline.ts'
import { packed } from './packed.ts'
import { unused } from './unused.ts'

// Not the styles, whose order counts.
const SHARED = /\/src\/(?!.*dialog).*\.tsx?$|preload-helper|\/react\//
const LICENCES = 'THIRD-PARTY-LICENSES.md'

export default defineConfig({
  // Relative addresses, so that the page works under whatever path an app mounts it at.
  base: './',
  plugins: [unused(), katexFonts(), packed(), react(), notices(LICENCES), offline(), compressed()],
  worker: { format: 'es' },
  server: { proxy: { '^/(api|login|logout)': process.env.HEADWATER_URL ?? 'http://127.0.0.1:8000' } },
  build: {
    outDir: '../../src/headwater/static',
    emptyOutDir: true,
    target: 'es2022',
    // An inlined data: asset would have to be allowed by the page's CSP.
    assetsInlineLimit: 0,
    license: { fileName: LICENCES },
    // What the page shares with its later parts is one file, not one for each set of parts.
    rolldownOptions: { output: { codeSplitting: { groups: [{ name: 'shared', minShareCount: 2, test: SHARED }] } } },
  },
})
