// OpenAI's client for Node on the Responses API: streams, and goes on after a cut with the client's own means.
import OpenAI from 'openai'
import OpenAI6 from 'openai-6'

const [url] = process.argv.slice(2)
const told = {}
for (const [name, Client] of [['7', OpenAI], ['6', OpenAI6]]) {
  const client = new Client({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })
  const final = await client.responses.stream({ model: 'gpt-4o-mini', input: 'Hi' }).finalResponse()
  const stream = await client.responses.create({ model: 'gpt-4o-mini', input: 'Hi', stream: true, background: true })
  const events = []
  for await (const event of stream) {
    events.push(event)
    if (events.length === 5) break
  }
  const query = { stream: true, starting_after: events.at(-1).sequence_number }
  for await (const event of await client.responses.retrieve(events[0].response.id, query)) events.push(event)
  told[name] = {
    streamed: final.output_text,
    resumed: events.at(-1).response.output[0].content[0].text,
    dense: events.every((event, index) => event.sequence_number === index),
  }
}
console.log(JSON.stringify(told))
