import { defineConfig } from 'vitest/config'

// Generous, since CI has two cores and other things to do; a test that passes is never slowed by it.
const testTimeout = 30_000

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'client', include: ['packages/client/src/**/*.test.ts'], environment: 'node', testTimeout } },
      { test: { name: 'react', include: ['packages/react/src/**/*.test.tsx'], environment: 'jsdom', testTimeout } },
      { test: { name: 'page', include: ['page/src/**/*.test.{ts,tsx}'], environment: 'jsdom', testTimeout } },
    ],
  },
})
