// `@tanstack/ai-client` as a page uses it, through a proxy that can cut an answer; prints what it saw, as one line of JSON.
import { createServer } from 'node:http'
import { ChatClient, fetchServerSentEvents } from '@tanstack/ai-client'
import { toolDefinition } from '@tanstack/ai/client'

const [url] = process.argv.slice(2)
const SECONDS = 10
const requests = []
let cuts = []

/** Passes everything on, frame by frame; a word in `cuts` breaks the connection off before the frame that has it. */
const proxy = createServer(async (request, response) => {
  const body = []
  for await (const piece of request) body.push(piece)
  requests.push({ method: request.method, url: request.url, after: request.headers['last-event-id'] })
  const { host, connection, ...headers } = request.headers
  const asked = { method: request.method, headers, ...(body.length ? { body: Buffer.concat(body) } : {}) }
  const answer = await fetch(url + request.url, asked)
  response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') })
  response.flushHeaders()
  let rest = ''
  const decoder = new TextDecoder()
  for await (const piece of answer.body ?? []) {
    const frames = (rest + decoder.decode(piece, { stream: true })).split('\n\n')
    rest = frames.pop()
    for (const frame of frames) {
      if (cuts.length && frame.includes(cuts[0])) {
        cuts.shift()
        await new Promise(resolve => setTimeout(resolve, 20))
        response.destroy()
        return
      }
      response.write(frame + '\n\n')
    }
  }
  response.end(rest)
})
await new Promise(resolve => proxy.listen(0, '127.0.0.1', resolve))
const page = `http://127.0.0.1:${proxy.address().port}`

/** A page's client; its framework attaches it when the page is mounted. */
function open(threadId, options = {}) {
  const client = new ChatClient({ threadId, connection: fetchServerSentEvents(`${page}/agui`), ...options })
  client.attach()
  return client
}

async function until(fact, what) {
  for (const end = Date.now() + SECONDS * 1000; Date.now() < end; await new Promise(resolve => setTimeout(resolve, 5)))
    if (fact()) return
  throw new Error(`never: ${what}`)
}

const told = client => ({
  text: client.getMessages().filter(message => message.role === 'assistant')
    .map(message => message.parts.filter(part => part.type === 'text').map(part => part.content).join('/')).join('|'),
  parts: client.getMessages().map(message => message.parts.map(part => part.type)),
  ids: client.getMessages().map(message => message.id),
  error: client.getError()?.message, status: client.getStatus(),
})

async function ask(question, options) {
  requests.length = 0
  const client = open(`tanstack-${question}`, options)
  await client.sendMessage(question)
  await until(() => !client.getIsLoading(), 'the end')
  const seen = { ...told(client), requests: requests.map(({ method, after }) => `${method} ${after ? 'again' : 'first'}`) }
  client.dispose()
  return seen
}

/** A connection that breaks before the frames with these words; the client comes back by itself. */
async function cut(question, ...words) {
  cuts = words
  return ask(question)
}

async function tool() {
  const weather = toolDefinition({ name: 'weather', description: 'The weather', inputSchema: { type: 'object' } })
  return ask('tool tanstack', { tools: [weather.client(() => 'Sunny')] })
}

/** A page that is closed in mid-answer and opened again, and once more after the end. */
async function reload(question) {
  const threadId = `tanstack-${question}`
  const before = open(threadId, { persistence: true })
  void before.sendMessage(question)
  await until(() => told(before).text, 'the first words')
  before.dispose()
  requests.length = 0
  const during = open(threadId, { persistence: true })
  await until(() => told(during).text, 'the answer on the new page').catch(e => { console.log(JSON.stringify({requests, t: told(during)})); process.exit(0) })
  await until(() => !during.getIsLoading(), 'its end')
  const [, second] = requests
  const after = open(threadId, { persistence: true })
  await until(() => after.getMessages().length > 1, 'the thread')
  const joined = []
  for await (const chunk of fetchServerSentEvents(`${page}/agui`).joinRun(new URL(second.url, page).searchParams.get('runId')))
    joined.push(chunk.delta ?? chunk.type)
  await after.sendMessage('and now')
  await until(() => !after.getIsLoading(), 'the next answer')
  const seen = { during: told(during), after: told(after), joined, gets: requests.map(({ method }) => method) }
  during.dispose()
  after.dispose()
  return seen
}

async function fresh() {
  requests.length = 0
  const client = open('tanstack-new', { persistence: true })
  await until(() => requests.length, 'a look at the thread')
  const response = await fetch(`${page}/agui?threadId=tanstack-new`)
  client.dispose()
  return { status: response.status, state: await response.json() }
}

console.log(JSON.stringify({
  live: await ask('live tanstack'),
  cached: await ask('live tanstack'),
  tool: await tool(),
  cut: await cut('slow cut tanstack one', '"4 '),
  between: await cut('slow cut tanstack two', '"It '),
  often: await cut('slow cut tanstack three', '"It ', '"is ', '"4 '),
  replayed: await cut('slow cut tanstack three', '"It '),
  reload: await reload('slow reload tanstack'),
  fresh: await fresh(),
  failed: await ask('error tanstack'),
  refused: await ask('refuse tanstack'),
}))
proxy.closeAllConnections()
proxy.close()
process.exit(0)
