// The service worker: the page opens without a network. VERSION and KEPT stand above, written by the build (offline.ts).
const PREFIX = `headwater:${new URL('.', self.location.href).pathname}:`
const CACHE = PREFIX + VERSION
// A server that does not answer is as good as none, after this many milliseconds.
const PATIENCE = 4000
const index = new URL('./', self.location.href).href

self.addEventListener('install', (event) => {
  // What the API is asked passes by here: a deletion that a page sends as it goes would be lost with the page (Chromium).
  const pathname = `${new URL(index).pathname.replace(/[^\w/.~-]/g, '\\$&')}api/*`
  event.addRoutes?.([{ condition: { urlPattern: new URLPattern({ pathname }) }, source: 'network' }])
  const keep = async () => {
    const cache = await caches.open(CACHE)
    await cache.addAll(KEPT)
    await self.skipWaiting()
  }
  event.waitUntil(keep())
})

self.addEventListener('activate', (event) => {
  const settle = async () => {
    const names = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CACHE)
    // Tabs of the version before this one may still load parts of it.
    await Promise.all(names.slice(0, -1).map((name) => caches.delete(name)))
    await self.clients.claim()
  }
  event.waitUntil(settle())
})

self.addEventListener('fetch', (event) => {
  const { request } = event
  const url = new URL(request.url)
  if (request.method !== 'GET' || !url.href.startsWith(index)) return
  const path = url.href.slice(index.length).split(/[?#]/)[0]
  // Answers are logs of the server, and a login is its business: neither ever comes from here.
  if (request.mode === 'navigate') {
    if (['', 'index.html', 'shared'].includes(path)) event.respondWith(page(request))
  } else if (path.startsWith('assets/')) event.respondWith(asset(request))
  else if (KEPT.includes(path)) event.respondWith(fetch(request).catch(() => kept(request)))
})

/** The index of the server, else the one that was kept: an update shows at the next load. */
async function page(request) {
  let timer
  const late = new Promise((_, fail) => (timer = setTimeout(fail, PATIENCE)))
  try {
    // With a signal of its own it would be a script's request, which is told of a login in JSON.
    return await Promise.race([fetch(request), late])
  } catch {
    return kept(`${index}shared`)
  } finally {
    clearTimeout(timer)
  }
}

/** A file named by its content, which is never another: from here, else from the server and then from here. */
async function asset(request) {
  const found = await caches.match(request)
  if (found) return found
  const response = await fetch(request)
  if (response.ok) {
    const cache = await caches.open(CACHE)
    await cache.put(request, response.clone())
  }
  return response
}

async function kept(request) {
  const cache = await caches.open(CACHE)
  return (await cache.match(request)) ?? Response.error()
}
