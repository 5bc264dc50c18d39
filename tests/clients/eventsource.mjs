// Clients of Server-Sent Events, each as its users use it: how it reconnects, and what ends it.
//
//     node eventsource.mjs <client> <address> <address>…     reads all of them at once
//
// fetch-event-source asks a question by POST, and repeats that request; the others GET a log by its address.
import { createParser } from 'eventsource-parser'
import { EventSource } from 'eventsource'
import { fetchEventSource } from '@microsoft/fetch-event-source'
import { JSDOM } from 'jsdom'

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))

// The browser's own interface: it reconnects by itself, and 204 closes it.
async function byEventSource(url, heard) {
  const alive = setInterval(() => {}, 1000) // while it waits to reconnect, it does not keep Node running
  const source = new EventSource(url)
  source.onmessage = ({ data, lastEventId }) => heard(data, lastEventId)
  await new Promise((resolve) => {
    source.onerror = ({ code }) => source.readyState === EventSource.CLOSED && resolve(code)
  })
  clearInterval(alive)
}

// A parser alone: the loop around it is its user's.
async function byParser(url, heard) {
  let last = ''
  let retry = 1000
  for (;;) {
    try {
      const response = await fetch(url, { headers: last ? { 'Last-Event-ID': last } : {} })
      if (response.status === 204) return
      const parser = createParser({
        onEvent: ({ data, id }) => heard(data, (last = id)),
        onRetry: (milliseconds) => (retry = milliseconds),
      })
      for await (const text of response.body.pipeThrough(new TextDecoderStream())) parser.feed(text)
    } catch (error) {
      if (!(error instanceof TypeError)) throw error // which is how fetch reports a connection that broke
    }
    await pause(retry)
  }
}

class Over extends Error {}

// It repeats a POST with Last-Event-ID. Left to itself it takes 204 for a failure, and would ask for ever.
async function byFetchEventSource(url, heard, last = '') {
  const { window } = new JSDOM('')
  Object.assign(globalThis, { document: window.document, window: globalThis })
  const asking = {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...(last && { 'Last-Event-ID': last }) },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'Hi' }] }),
    async onopen(response) {
      if (response.status === 204) throw new Over()
      if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
    },
    onmessage: ({ data, id }) => heard(data, id),
    onerror(error) {
      if (!(error instanceof TypeError)) throw error
    },
  }
  await fetchEventSource(url, asking).catch((error) => {
    if (!(error instanceof Over)) throw error
  })
}

async function read(client, url) {
  const events = []
  const ids = []
  const heard = (data, id) => {
    events.push(JSON.parse(data))
    ids.push(id)
  }
  await client(url, heard)
  // A page that was closed after the ending, and asks again with what it has kept.
  const after = events.length
  if (client === byFetchEventSource) await client(url, heard, ids.at(-1))
  return { events, ids, more: events.length - after }
}

const clients = {
  eventsource: byEventSource,
  'eventsource-parser': byParser,
  'fetch-event-source': byFetchEventSource,
}
const [name, ...urls] = process.argv.slice(2)
console.log(JSON.stringify(await Promise.all(urls.map((url) => read(clients[name], url)))))
