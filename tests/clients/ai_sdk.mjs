// The AI SDK 5, 6 and 7 as a page uses it: `useChat` and `useCompletion` in jsdom, and `WorkflowChatTransport`.
import { JSDOM } from 'jsdom'

const { window } = new JSDOM('', { url: 'http://page.example/' })
Object.assign(globalThis, { window, document: window.document, navigator: window.navigator })
console.error = console.warn = () => {}

const React = await import('react')
const { createRoot } = await import('react-dom/client')
const [url, other] = process.argv.slice(2)
const MAJORS = { 5: ['ai-5', '@ai-sdk/react-2'], 6: ['ai-6', '@ai-sdk/react-3'], 7: ['ai', '@ai-sdk/react'] }
const SECONDS = 10

/** A page that calls a hook; `until` waits for a fact of what the hook returns. */
function page(hook, options) {
  let now
  const waiting = new Set()
  const root = createRoot(document.createElement('div'))
  root.render(
    React.createElement(() => {
      now = hook(options)
      React.useEffect(() => waiting.forEach(look => look()))
      return null
    }),
  )
  async function until(fact, what) {
    let timer
    await new Promise((resolve, reject) => {
      const look = () => now && fact(now) && resolve()
      waiting.add(look)
      timer = setTimeout(() => reject(new Error(`never: ${what}; it has ${JSON.stringify(now)}`)), SECONDS * 1000)
      look()
    })
    clearTimeout(timer)
    waiting.clear()
    return now
  }
  return { until, now: () => now, leave: () => root.unmount() }
}

const said = message => (message?.parts ?? []).filter(part => part.type === 'text').map(part => part.text).join('')
const last = chat => chat.messages.at(-1)
const answered = chat => last(chat)?.role === 'assistant' && said(last(chat)).length > 0
const ended = chat => chat.status === 'ready' && last(chat)?.role === 'assistant'
const headwater = message => message.parts.find(part => part.type === 'data-headwater')?.data
const open = parts => parts.filter(part => part.state === 'streaming' || part.state === 'input-streaming').length
const shown = chat => ({
  text: said(last(chat)), id: last(chat).id, status: chat.status, messages: chat.messages.length,
  headwater: headwater(last(chat)), open: open(last(chat).parts), error: chat.error?.message,
})

async function chats(major, ai, react) {
  const api = `${url}/api/chat`
  const transport = new ai.DefaultChatTransport({ api })
  const at = id => ({ id: `${major}-${id}`, transport, generateId: ids() })
  const ids = () => { let count = 0; return () => `page-${count++}` }

  async function ask(question, id, options = {}) {
    const chat = page(react.useChat, { ...at(id), ...options })
    await chat.until(now => now.sendMessage, 'the hook')
    chat.sent = chat.now().sendMessage({ text: `${question} ${major}` })
    return chat
  }
  const finished = async chat => shown(await chat.until(ended, 'the end of the answer'))
  const failed = async chat => shown(await chat.until(now => now.status === 'error', 'an error'))

  const told = {}
  told.live = await finished(await ask('hello', 'live'))
  told.cached = await finished(await ask('hello', 'cached'))

  const slow = await ask('slow', 'resumed')
  const question = (await slow.until(answered, 'the first token')).messages.slice(0, 1)
  const elsewhere = new ai.DefaultChatTransport({ api: `${other}/api/chat` })
  slow.now().stop() // as a page that is closed, which ends only its own reading
  const reloaded = page(react.useChat, { ...at('resumed'), transport: elsewhere, messages: question, resume: true })
  const half = await reloaded.until(answered, 'the first token after the reload')
  told.resumed = { early: half.status, ...(await finished(reloaded)), first: last(slow.now()).id }

  const idle = page(react.useChat, { ...at('resumed'), messages: question, resume: true })
  await idle.until(now => now.status === 'ready', 'nothing to resume')
  await idle.now().resumeStream()
  told.nothing = { status: idle.now().status, messages: idle.now().messages.length }

  const hanging = await ask('hang', 'stopped')
  await hanging.until(answered, 'the first token')
  const stopped = await fetch(`${other}/api/chat/${major}-stopped/stop`, { method: 'POST' })
  told.stopped = { answer: await stopped.json(), ...(await finished(hanging)) }

  const replaced = await ask('hang again', 'replaced')
  await replaced.until(answered, 'the first token')
  told.replacing = await finished(await ask('hello', 'replaced'))
  told.replaced = await finished(replaced)

  told.refused = { error: (await (await ask('refuse', 'refused')).until(now => now.error, 'an error')).error.message }
  told.failed = await failed(await ask('error', 'failed'))
  told.cut = await failed(await ask('cut', 'cut'))

  const regenerated = await ask('hello', 'regenerated')
  const before = (await regenerated.until(ended, 'an answer')).messages.length
  await regenerated.now().regenerate()
  told.regenerated = { before, ...shown(regenerated.now()) }

  told.tool = await tool(at('tool'), react, ai)
  return told
}

/** A tool that the page runs, as the documentation of the AI SDK has it. */
async function tool(options, react, ai) {
  const calls = []
  const weather = { name: 'weather', parameters: { type: 'object' } }
  const chat = page(react.useChat, {
    ...options,
    sendAutomaticallyWhen: ai.lastAssistantMessageIsCompleteWithToolCalls,
    onToolCall({ toolCall }) {
      if (toolCall.dynamic) return
      calls.push(toolCall.input)
      const output = { tool: toolCall.toolName, toolCallId: toolCall.toolCallId, output: { celsius: 4 } }
      ;(chat.now().addToolOutput ?? chat.now().addToolResult)(output)
    },
  })
  await chat.until(now => now.sendMessage, 'the hook')
  const answer = async () => {
    await chat.now().sendMessage({ text: `tool ${options.id}` }, { body: { tools: [weather] } })
    return await chat.until(now => ended(now) && said(last(now)) !== '', 'the answer after the tool')
  }
  return { ...shown(await answer()), calls, kinds: last(chat.now()).parts.map(part => part.type) }
}

async function completions(react) {
  const ask = async (question, options) => {
    const form = page(react.useCompletion, { id: `${question}-${Math.random()}`, ...options })
    await form.until(now => now.complete, 'the hook')
    await form.now().complete(question)
    await form.until(now => !now.isLoading, 'the end')
    return { text: form.now().completion, error: form.now().error?.message }
  }
  const data = { api: `${url}/api/completion` }
  const text = { api: `${url}/api/completion?protocol=text`, streamProtocol: 'text' }
  return {
    data: await ask('hello', data), text: await ask('hello', text),
    brokenData: await ask('error', data), brokenText: await ask('error', text), refused: await ask('refuse', data),
  }
}

/** A transport that goes on by itself: its POST is cut after some parts, cleanly or not. */
async function workflow(ai, react) {
  const { WorkflowChatTransport } = await import('@ai-sdk/workflow/client')
  const told = {}
  for (const how of ['ended', 'torn']) {
    const asked = []
    const cutting = async (where, init) => {
      asked.push(where.slice(url.length))
      const response = await fetch(where, init)
      return asked.length > 1 ? response : new Response(cut(response.body, 5, how), response)
    }
    const transport = new WorkflowChatTransport({ api: `${url}/api/chat`, fetch: cutting })
    const chat = page(react.useChat, { transport })
    await chat.until(now => now.sendMessage, 'the hook')
    chat.now().sendMessage({ text: `slow ${how}` })
    told[how] = { ...shown(await chat.until(ended, 'the end of the answer')), asked: asked.slice(1) }
  }
  const transport = new WorkflowChatTransport({ api: `${url}/api/chat`, prepareSendMessagesRequest: sent => ({ body: sent }) })
  const chat = page(react.useChat, { id: 'workflow', transport })
  await chat.until(now => now.sendMessage, 'the hook')
  chat.now().sendMessage({ text: 'hang workflow' })
  await chat.until(answered, 'the first token')
  await fetch(`${url}/api/chat/workflow/stop`, { method: 'POST' })
  told.stopped = shown(await chat.until(now => now.status === 'error', 'an error'))
  return told
}

/** The body up to so many frames. */
function cut(body, frames, how) {
  let seen = 0
  const decoder = new TextDecoder()
  return body.pipeThrough(
    new TransformStream({
      transform(piece, controller) {
        for (const block of decoder.decode(piece).split(/(?<=\n\n)/)) {
          if (seen < frames) controller.enqueue(new TextEncoder().encode(block))
          seen += block.includes('data: ') ? 1 : 0
        }
        if (seen >= frames) how === 'torn' ? controller.error(new TypeError('terminated')) : controller.terminate()
      },
    }),
  )
}

const told = {}
for (const [major, [core, hooks]] of Object.entries(MAJORS)) {
  const [ai, react] = [await import(core), await import(hooks)]
  told[major] = await chats(major, ai, react)
  told[major].completion = await completions(react)
  if (major === '7') told.workflow = await workflow(ai, react)
}
console.log(JSON.stringify(told))
process.exit(0)
