// What pages ask of CopilotKit's runtime; runs after the code of docs/clients/ag-ui.md, which makes `handler`.
const ask = async (path, question) => {
  const request = new Request(`http://page.example/api/copilotkit/agent/default/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
    body: JSON.stringify({
      threadId: question, runId: question, state: {}, tools: [], context: [], forwardedProps: {},
      messages: [{ id: 'm1', role: 'user', content: question }],
    }),
  })
  const frames = (await (await handler(request)).text()).split('\n\n').filter(Boolean)
  return frames.map(frame => JSON.parse(frame.slice('data: '.length)))
}

console.error = () => {}
console.log(JSON.stringify({
  'run live kit': await ask('run', 'live kit'),
  'connect live kit': await ask('connect', 'live kit'),
  'run error kit': await ask('run', 'error kit'),
  'run refuse kit': await ask('run', 'refuse kit'),
}))
process.exit(0)
