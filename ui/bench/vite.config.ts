import react from '@vitejs/plugin-react'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'

const modules = fileURLToPath(new URL('../node_modules/', import.meta.url))

export default defineConfig({
  base: './',
  plugins: [react()],
  worker: { format: 'es' },
  // One React for all renderers: that of the page.
  resolve: { alias: { react: `${modules}react`, 'react-dom': `${modules}react-dom` } },
  build: { outDir: 'dist', emptyOutDir: true, target: 'es2022', assetsInlineLimit: 0 },
})
