// Every JavaScript client on an answer that broke off and goes on; prints the text that each made of it, and what it
// was told of the seam. The second question of each is answered from the cache.
import Anthropic from '@anthropic-ai/sdk'
import { ChatAnthropic } from '@langchain/anthropic'
import { ChatOpenAI } from '@langchain/openai'
import { fetchEventSource } from '@microsoft/fetch-event-source'
import { ChatClient, fetchServerSentEvents } from '@tanstack/ai-client'
import { EventSource } from 'eventsource'
import { JSDOM } from 'jsdom'

const [url] = process.argv.slice(2)
const { window } = new JSDOM('')
const messages = name => [{ role: 'user', content: `Where does it begin, ${name}?` }]
const names = { openai: ['openai', 'openai-6', 'openai-5', 'openai-4'], ai: ['ai', 'ai-6', 'ai-5'] }
names.agui = ['@ag-ui/client', '@ag-ui/client-0.0.59', '@ag-ui/client-0.0.45']

async function openai(name) {
  const { default: OpenAI } = await import(name)
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none' })
  const helpers = client.beta?.chat?.completions?.stream ? client.beta.chat.completions : client.chat.completions
  const asked = { model: 'scripted', messages: messages(name) }
  let text = ''
  for await (const chunk of await client.chat.completions.create({ ...asked, stream: true }))
    text += chunk.choices[0]?.delta.content ?? ''
  const helped = await helpers.stream(asked).finalChatCompletion()
  return [text, helped.choices[0].message.content]
}

async function responses() {
  const { default: OpenAI } = await import('openai')
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none' })
  const texts = []
  for (let count = 0; count < 2; count++) {
    const stream = client.responses.stream({ model: 'scripted', input: 'Where, in a response?' })
    let text = ''
    stream.on('response.output_text.delta', ({ delta }) => (text += delta))
    const { output_text: whole } = await stream.finalResponse()
    texts.push(text, whole)
  }
  return texts
}

async function anthropic() {
  const client = new Anthropic({ baseURL: url, apiKey: 'none' })
  const asked = { model: 'scripted', max_tokens: 99, messages: messages('anthropic') }
  const texts = []
  for (let count = 0; count < 2; count++) {
    const { content } = await client.messages.stream(asked).finalMessage()
    texts.push(content.map(block => block.text).join('|'))
  }
  return texts
}

async function langchain(model) {
  const texts = []
  for (let count = 0; count < 2; count++) {
    let text = ''
    for await (const chunk of await model.stream(messages(model.constructor.name))) text += chunk.text
    texts.push(text)
  }
  return texts
}

/** The AI SDK: the parts that a page keeps, and the transient one that its `onData` gets. */
async function ai(name) {
  const { DefaultChatTransport, readUIMessageStream } = await import(name)
  const transport = new DefaultChatTransport({ api: `${url}/api/chat` })
  const question = { id: 'q', role: 'user', parts: [{ type: 'text', text: messages(name)[0].content }] }
  const texts = []
  for (const chatId of [`${name}-1`, `${name}-2`]) {
    const [kept, heard] = (await transport.sendMessages({ trigger: 'submit-message', chatId, messages: [question] })).tee()
    let message
    for await (message of readUIMessageStream({ stream: kept }));
    const seams = []
    for await (const chunk of heard) if (chunk.type === 'data-continued') seams.push(chunk.data.cause)
    texts.push(message.parts.filter(({ type }) => type === 'text').map(({ text }) => text).join('|'))
    if (seams.join() !== 'provider' || message.parts.some(({ type }) => type === 'data-continued')) texts.push('the wrong parts')
  }
  return texts
}

async function agui(name) {
  const { HttpAgent } = await import(name)
  const texts = []
  for (let count = 0; count < 2; count++) {
    const initialMessages = messages(name).map(message => ({ id: 'm1', ...message }))
    const agent = new HttpAgent({ url: `${url}/agui`, threadId: `${name}-${count}`, initialMessages })
    const seams = []
    await agent.runAgent({}, { onCustomEvent: ({ event }) => void seams.push(event.name) })
    texts.push(agent.messages.slice(1).map(({ content }) => content).join('|'))
    if (seams.join() !== 'continued') texts.push(`seams: ${seams}`)
  }
  return texts
}

async function tanstack() {
  const texts = []
  for (let count = 0; count < 2; count++) {
    const client = new ChatClient({ threadId: `tanstack-${count}`, connection: fetchServerSentEvents(`${url}/agui`) })
    client.attach()
    await client.sendMessage('Where, TanStack?')
    while (client.getIsLoading()) await new Promise(resolve => setTimeout(resolve, 5))
    texts.push(client.getMessages().at(-1).parts.map(part => part.content).join('|'))
    client.dispose()
  }
  return texts
}

/** A client of Server-Sent Events that knows nothing of Headwater, and only adds up texts. */
async function events(byFetch) {
  const asking = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ messages: messages('events') }) }
  const texts = ['', '']
  for (let count = 0; count < 2; count++) {
    const heard = ({ data }) => (texts[count] += JSON.parse(data).text ?? '')
    if (byFetch) {
      await fetchEventSource(`${url}/api/stream/completion/chat`, { ...asking, onmessage: heard, openWhenHidden: true })
    } else {
      const opened = await fetch(`${url}/api/stream/completion/chat`, asking)
      const source = new EventSource(url + opened.headers.get('location'))
      source.onmessage = heard
      await new Promise(resolve => (source.onerror = () => resolve(source.close())))
      await opened.body.cancel()
    }
  }
  return texts
}

Object.assign(globalThis, { document: window.document, window: globalThis })
const fields = { model: 'scripted', apiKey: 'none' }
const clients = {
  ...Object.fromEntries(names.openai.map(name => [name, openai(name)])),
  ...Object.fromEntries(names.ai.map(name => [name, ai(name)])),
  ...Object.fromEntries(names.agui.map(name => [name, agui(name)])),
  ...{ responses: responses(), anthropic: anthropic(), tanstack: tanstack() },
  'langchain openai': langchain(new ChatOpenAI({ ...fields, configuration: { baseURL: `${url}/v1` } })),
  'langchain anthropic': langchain(new ChatAnthropic({ ...fields, anthropicApiUrl: url, maxTokens: 99 })),
  ...{ eventsource: events(false), 'fetch-event-source': events(true) },
}
const told = {}
for (const [name, texts] of Object.entries(clients)) told[name] = await texts.catch(error => [String(error)])
console.log(JSON.stringify(told))
process.exit(0)
