// `@ag-ui/client` of three versions against a server's /agui; prints what each saw, as one line of JSON.
// Arguments: the server, the folder of golden files, and the package of the client.
import { createServer } from 'node:http'
import { readdirSync, readFileSync } from 'node:fs'

const [url, goldens, client] = process.argv.slice(2)
const { HttpAgent } = await import(client)
console.warn = console.error = () => {}
const TOOLS = [{ name: 'weather', description: 'The weather', parameters: { type: 'object' } }]

/** Runs a thread once; `seen` is what a page's subscriber is told. */
async function run(agent, tools = [], onText = () => {}) {
  const seen = { kinds: [] }
  const subscriber = {
    onEvent: ({ event }) => void seen.kinds.push(event.type),
    onTextMessageContentEvent: onText,
    onRunErrorEvent: ({ event }) => void (seen.code = event.code),
    onRunFinishedEvent: ({ event }) => void (seen.usage = event.usage),
  }
  await agent.runAgent({ tools }, subscriber).catch(error => {
    seen.failed = { message: error.message, status: error.status, payload: error.payload }
  })
  return seen
}

const told = (agent, seen) => ({
  text: agent.messages.filter(message => message.role === 'assistant').map(message => message.content ?? '').join('|'),
  ids: agent.messages.slice(1).map(message => message.id),
  calls: agent.messages.flatMap(message => message.toolCalls ?? []).map(call => call.function.arguments),
  thought: agent.messages.filter(message => message.role === 'reasoning').map(message => message.content).join(''),
  ended: seen.kinds.at(-1), code: seen.code, failed: seen.failed, usage: seen.usage?.[0]?.inputTokens,
})

const begin = question => new HttpAgent({
  url: `${url}/agui`,
  threadId: `${client}-${question}`,
  initialMessages: [{ id: 'm1', role: 'user', content: `${question} ${client}` }],
})

async function ask(question, tools) {
  const agent = begin(question)
  return told(agent, await run(agent, tools))
}

async function together() {
  return Promise.all([ask('slow together'), ask('slow together')])
}

/** The page runs its own tools and asks on with their results. */
async function roundTrip(question) {
  const agent = begin(question)
  const first = told(agent, await run(agent, TOOLS))
  for (const call of agent.messages.at(-1).toolCalls)
    agent.addMessage({ id: `r-${call.id}`, role: 'tool', toolCallId: call.id, content: 'Sunny' })
  return { first, second: told(agent, await run(agent, TOOLS)) }
}

async function stopped() {
  const agent = begin('hang')
  let log
  const seen = await run(agent, [], async ({ event }) => {
    if (log) return
    log = event.messageId
    await fetch(`${url}/api/streams/${log}/stop`, { method: 'POST' })
  })
  return told(agent, seen)
}

/** Each golden file as an answer, to the client's own check of the order of events. */
async function verified() {
  const server = createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.end(readFileSync(`${goldens}/${request.url.slice(1)}`))
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  const found = {}
  for (const name of readdirSync(goldens).filter(name => name.endsWith('.ag-ui.sse'))) {
    const agent = new HttpAgent({ url: `http://127.0.0.1:${server.address().port}/${name}` })
    const { ids, text, failed, code } = told(agent, await run(agent))
    const all = agent.messages.map(message => message.id)
    found[name.split('.')[0]] = { text, failed: failed?.message, code, twice: all.length - new Set(all).size }
  }
  server.closeAllConnections()
  server.close()
  return found
}

const live = await ask('live')
console.log(JSON.stringify({
  live,
  cached: await ask('live'),
  together: await together(),
  reasoning: await ask('think'),
  tool: await roundTrip('tool'),
  parallel: await roundTrip('both tools'),
  refused: await ask('refuse'),
  failed: await ask('error'),
  cut: await ask('cut'),
  stopped: await stopped(),
  verified: await verified(),
}))
