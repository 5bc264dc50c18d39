import type { Port } from '@headwater/client/conversations'

/** The port of the worker that holds one connection for all tabs; null where the browser has no shared workers. */
export function connectFollower(): Port | null {
  if (!('SharedWorker' in globalThis)) return null
  return new SharedWorker(new URL('./follow-worker.ts', import.meta.url), { type: 'module', name: 'headwater-follow' }).port
}
