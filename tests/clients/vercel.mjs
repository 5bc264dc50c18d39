// The AI SDK 5, 6 and 7 as a page uses it, in jsdom: the snippets of the docs, and what else may happen to a chat.
//
//     node vercel.mjs <server> <another on the same store> <the docs' page>
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { transformSync } from 'esbuild'
import { JSDOM } from 'jsdom'

const { window } = new JSDOM('', { url: 'http://page.example/' })
Object.assign(globalThis, { window, document: window.document, navigator: window.navigator })
console.error = console.warn = () => {}

const React = await import('react')
const { createRoot } = await import('react-dom/client')
const [url, other, docs] = process.argv.slice(2)
const SNIPPETS = [...readFileSync(docs, 'utf8').matchAll(/```jsx?\n(.*?)```/gs)].map(match => match[1])
const MAJORS = { 5: ['ai-5', '@ai-sdk/react-2'], 6: ['ai-6', '@ai-sdk/react-3'], 7: ['ai', '@ai-sdk/react'] }
const SECONDS = 10
let cutting
const plain = globalThis.fetch
globalThis.fetch = (...asked) => (cutting ?? plain)(...asked)

/** The modules of the docs' snippets, with the packages of one major. */
async function snippets(core, hooks) {
  const modules = []
  for (const snippet of SNIPPETS) {
    const { code } = transformSync(snippet, { loader: 'jsx', jsx: 'automatic' })
    const file = fileURLToPath(new URL(`.snippet-${modules.length}-${core}.mjs`, import.meta.url))
    const packages = { '"ai"': core, '"@ai-sdk/react"': hooks }
    const named = code.replace(/"(ai|@ai-sdk\/react)"/g, name => `"${packages[name]}"`)
    writeFileSync(file, named.replaceAll('http://127.0.0.1:8000', url))
    try {
      modules.push(await import(file))
    } finally {
      rmSync(file)
    }
  }
  return modules
}

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
  const { id } = last(await regenerated.until(ended, 'an answer'))
  regenerated.now().regenerate()
  told.regenerated = shown(await regenerated.until(now => ended(now) && last(now).id !== id, 'another answer'))
  return told
}

/** The docs' page: a question, and a click on Stop. */
async function clicked(major, Page) {
  const root = document.body.appendChild(document.createElement('div'))
  createRoot(root).render(React.createElement(Page, { id: `${major}-page` }))
  const shows = async fact => {
    for (const begun = Date.now(); !fact(); await new Promise(resolve => setTimeout(resolve, 5))) {
      if (Date.now() - begun > SECONDS * 1000) throw new Error(`never: ${fact}; the page is ${root.innerHTML}`)
    }
  }
  await shows(() => root.querySelector('input'))
  root.querySelector('input').value = `hang page ${major}`
  root.querySelector('button').click()
  await shows(() => root.textContent.includes('It is') && root.querySelector('button').textContent === 'Stop')
  root.querySelector('button').click()
  await shows(() => root.textContent.includes('(stopped)'))
  return [...root.querySelectorAll('p')].map(line => line.textContent)
}

/** The docs' tool of the page. */
async function tool(useWeatherChat) {
  const chat = page(useWeatherChat)
  await chat.until(now => now.sendMessage, 'the hook')
  const ask = () => chat.now().sendMessage({ text: 'tool' })
  ask()
  const live = await chat.until(now => ended(now) && said(last(now)), 'the answer after the tool')
  const outputs = last(live).parts.filter(part => part.output).map(part => part.output)
  return { ...shown(live), outputs, kinds: last(live).parts.map(part => part.type) }
}

/** The docs' completions, whole, broken and refused. */
async function completions({ useParts, useText }) {
  const ask = async (hook, question) => {
    const form = page(hook)
    await form.until(now => now.complete, 'the hook')
    form.now().setCompletion('')
    await form.now().complete(question)
    await form.until(now => !now.isLoading, 'the end')
    form.leave()
    return { text: form.now().completion, error: form.now().error?.message }
  }
  return {
    data: await ask(useParts, 'hello'),
    text: await ask(useText, 'hello'),
    brokenData: await ask(useParts, 'error'),
    brokenText: await ask(useText, 'error'),
    refused: await ask(useParts, 'refuse'),
  }
}

/** The docs' transport that goes on by itself: its POST is cut after some parts, cleanly or not. */
async function workflow(useSteadyChat) {
  const told = {}
  for (const how of ['ended', 'torn']) {
    const asked = []
    // The transport binds the global function, so what it calls looks here for how to cut.
    cutting = async (where, init) => {
      asked.push(`${where}`.slice(url.length))
      const response = await plain(where, init)
      return asked.length > 1 ? response : new Response(cut(response.body, 5, how), response)
    }
    const chat = page(useSteadyChat)
    await chat.until(now => now.sendMessage, 'the hook')
    chat.now().sendMessage({ text: `slow ${how}` })
    told[how] = { ...shown(await chat.until(ended, 'the end of the answer')), asked: asked.slice(1) }
    cutting = undefined
  }
  const chat = page(useSteadyChat)
  await chat.until(now => now.sendMessage, 'the hook')
  chat.now().sendMessage({ text: 'hang workflow' })
  const { id } = await chat.until(answered, 'the first token')
  await fetch(`${url}/api/chat/${id}/stop`, { method: 'POST' })
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
  const [shownPage, next, tools, steady, complete] = await snippets(core, hooks)
  told[major] = await chats(major, await import(core), await import(hooks))
  told[major].page = await clicked(major, shownPage.default)
  told[major].tool = await tool(tools.useWeatherChat)
  told[major].completion = await completions(complete)
  if (major === '7') {
    told.workflow = await workflow(steady.useSteadyChat)
    told.next = (await next.default.rewrites()).map(({ destination }) => destination.slice(url.length))
  }
}
console.log(JSON.stringify(told))
process.exit(0)
