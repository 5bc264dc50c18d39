import { expect, test } from 'vitest'
import { answerOf, asks, begun, FINISH, idle, logs, openTab, server, storage, text, texts, until, useServer } from './conversations.test.fixture.js'

useServer()

test('a question streams its answer, and the conversation comes into the list', async () => {
  const tab = openTab()
  const chat = tab.create()
  expect(chat.getSnapshot()).toMatchObject({ state: 'new', turns: [], busy: false })
  expect(chat.send('  ')).toBe(false)
  expect(chat.send('Hello?')).toBe(true)
  // Nothing waits for the network before it shows.
  expect(chat.getSnapshot()).toMatchObject({ title: 'Hello?', busy: true, turns: [{ text: 'Hello?' }, { status: 'streaming' }] })
  expect(tab.getSnapshot().items).toMatchObject([{ id: chat.id, title: 'Hello?', live: true }])
  await begun(chat)
  logs[0]!.append(text('Hi '), text('there'), FINISH)
  const now = await idle(chat)
  expect(answerOf(now)).toMatchObject({ status: 'finished', failure: null, message: { text: 'Hi there', usage: { output_tokens: 2 } } })
  expect(asks()).toMatchObject([{ parent: null, content: 'Hello?', kind: 'ask' }])
  expect(storage.length).toBe(0)
})

test('a conversation opens with the server’s turns, and its open answer is read on', async () => {
  server.keepTurns('travel-plans', 4)
  const first = openTab().open('travel-plans')
  await until(first, ({ state }) => state === 'ready')
  first.send('And then?')
  await begun(first)
  logs[0]!.append(text('Half'))
  const second = openTab().open('travel-plans')
  await until(second, (now) => now.turns.length === 6 && answerOf(now).message.text === 'Half')
  logs[0]!.append(text(' done'), FINISH)
  expect(texts(await idle(second))).toEqual(['Question 0', 'Answer 1', 'Question 2', 'Answer 3', 'And then?', 'Half done'])
  // What is settled comes from the conversation, and not from its log.
  expect(server.requests('GET', /streams\/turn/)).toEqual([])
})

test('a question that is asked while an answer runs waits in the queue, and can be taken back', async () => {
  const chat = openTab().create()
  chat.send('One?')
  await begun(chat)
  chat.send('Two?')
  chat.send('Three?')
  const { queue } = chat.getSnapshot()
  expect(queue.map(({ text }) => text)).toEqual(['Two?', 'Three?'])
  expect(chat.unqueue(queue[0]!.id)).toMatchObject({ text: 'Two?' })
  logs[0]!.append(text('1'), FINISH)
  await until(chat, () => logs.length === 2)
  await begun(chat)
  expect(chat.getSnapshot().queue).toEqual([])
  logs[1]!.append(text('3'), FINISH)
  expect(texts(await idle(chat))).toEqual(['One?', '1', 'Three?', '3'])
})

test('an interruption stops the running answer and goes ahead of the queue', async () => {
  const chat = openTab().create()
  chat.send('One?')
  await begun(chat)
  logs[0]!.append(text('Well'))
  chat.send('Later?')
  chat.interrupt('No, this!')
  await until(chat, () => logs.length === 2)
  await begun(chat)
  expect(texts(chat.getSnapshot())).toEqual(['One?', 'Well', 'No, this!', ''])
  expect(chat.getSnapshot()).toMatchObject({ queue: [{ text: 'Later?' }], turns: [{}, { status: 'stopped' }, {}, {}] })
})

test('stopping before the question has arrived stops the answer when it begins', async () => {
  const chat = openTab().create()
  chat.send('Hello?')
  await chat.stop()
  expect(answerOf(await idle(chat))).toMatchObject({ status: 'stopped' })
})

test('regenerating and editing make branches, and nothing is lost', async () => {
  server.keepTurns('travel-plans', 2)
  const chat = openTab().open('travel-plans')
  await until(chat, ({ state }) => state === 'ready')
  chat.regenerate('turn-1')
  await begun(chat)
  logs[0]!.append(text('Other'), FINISH)
  const regenerated = await idle(chat)
  expect(asks()[0]).toEqual({ answer: expect.any(String), parent: 'turn-0' })
  expect(texts(regenerated)).toEqual(['Question 0', 'Other'])
  expect(regenerated.branches.get(answerOf(regenerated).id)).toEqual({ index: 1, count: 2, previous: 'turn-1', next: null })
  chat.choose('turn-1')
  expect(texts(chat.getSnapshot())).toEqual(['Question 0', 'Answer 1'])
  expect(chat.edit('turn-0', 'Question zero')).toBe(true)
  await begun(chat)
  logs[1]!.append(text('Zero'), FINISH)
  const edited = await idle(chat)
  expect(texts(edited)).toEqual(['Question zero', 'Zero'])
  chat.choose(edited.branches.get(edited.turns[0]!.id)!.previous!)
  expect(texts(chat.getSnapshot())).toEqual(['Question 0', 'Answer 1'])
  await until(chat, () => server.conversations.get('travel-plans')!.leaf === 'turn-1')
})

test('a token costs one turn, however many there are', async () => {
  server.keepTurns('long-talk', 1000)
  const chat = openTab().open('long-talk')
  await until(chat, ({ state }) => state === 'ready')
  chat.send('More?')
  const before = await begun(chat)
  logs[0]!.append(text('Yes'))
  const after = await until(chat, (now) => answerOf(now).message.text === 'Yes')
  expect(after.turns.filter((turn, index) => turn !== before.turns[index])).toHaveLength(1)
  expect(after.branches).toBe(before.branches)
  // Looking again at what has not changed changes nothing.
  chat.wake()
  expect((await until(chat, () => server.requests('GET', /long-talk/).length > 1)).turns.slice(0, -1)).toEqual(before.turns.slice(0, -1))
})

test('the files of a question are sent, and sent again when it is edited', async () => {
  const chat = openTab().create()
  server.override = ({ path }, response) => path.includes('/attachments/') && (response.writeHead(200, { 'Content-Type': 'text/plain' }).end('hello'), true)
  chat.send('What is this?', [{ name: 'a.txt', type: 'text/plain', size: 5, data: 'aGVsbG8=' }])
  await begun(chat)
  logs[0]!.append(text('A file'), FINISH)
  await idle(chat)
  expect(chat.getSnapshot().turns[0]).toMatchObject({ files: [{ id: 'file-0', name: 'a.txt' }] })
  chat.edit(chat.getSnapshot().turns[0]!.id, 'What is it?')
  await until(chat, () => logs.length === 2)
  expect(asks().map(({ attachments }) => attachments)).toEqual([
    [{ name: 'a.txt', type: 'text/plain', data: 'aGVsbG8=' }],
    [{ name: 'a.txt', type: 'text/plain', data: 'aGVsbG8=' }],
  ])
})

test('the rest of an answer that was cut is asked for', async () => {
  const chat = openTab().create()
  chat.send('Count')
  await begun(chat)
  logs[0]!.append(text('1 2'), { type: 'finish', reason: 'length' })
  await idle(chat)
  chat.goOn()
  await begun(chat)
  expect(asks()[1]).toMatchObject({ kind: 'continue', parent: chat.getSnapshot().turns[1]!.id })
})
