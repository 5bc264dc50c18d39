import type { NextConfig } from 'next'

const server = process.env.HEADWATER_URL ?? 'http://127.0.0.1:8000'

const config: NextConfig = {
  // Next.js reads this at build time. On Vercel, /api is this project's own Python function.
  rewrites: async () => (process.env.VERCEL ? [] : [{ source: '/api/:path*', destination: `${server}/api/:path*` }]),
}

export default config
