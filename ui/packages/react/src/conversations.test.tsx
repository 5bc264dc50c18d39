import { createConversations, type Conversation, type ConversationTurn, type OpenConversations } from '@headwater/client/conversations'
import { act, cleanup, configure, render, screen, waitFor } from '@testing-library/react'
import { memo } from 'react'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ConversationServer } from '../../../testing/conversation-server.js'
import { ScriptedLog } from '../../../testing/log-server.js'
import { MemoryStorage } from '../../../testing/memory-storage.js'
import { useConversation, useConversations } from './conversations.js'

configure({ asyncUtilTimeout: 10_000 })

let server: ConversationServer
let tab: OpenConversations
beforeEach(async () => {
  server = await new ConversationServer().start()
  server.keepTurns('travel-plans', 40)
  const storage = new MemoryStorage()
  tab = createConversations({ base: server.url, storage: () => storage, pace: () => 0 })
})
afterEach(async () => {
  cleanup()
  tab.close()
  await server.close()
})

let drawn: string[] = []
const Turn = memo(({ turn }: { turn: ConversationTurn }) => {
  drawn.push(turn.id)
  return <p>{turn.role === 'user' ? turn.text : turn.message.text}</p>
})
function Turns({ conversation }: { conversation: Conversation }) {
  const { turns } = useConversation(conversation)
  return turns.map((turn) => <Turn key={turn.id} turn={turn} />)
}
function Titles() {
  return useConversations(tab).items.map(({ id, title }) => <h2 key={id}>{title}</h2>)
}

test('while an answer streams, only its turn is rendered', async () => {
  const log = new ScriptedLog('log', [{ type: 'start', message_id: 'm', model: 'scripted' }])
  server.answer = () => log
  const conversation = tab.open('travel-plans')
  render(
    <>
      <Titles />
      <Turns conversation={conversation} />
    </>,
  )
  await screen.findByText('Answer 39')
  await screen.findByRole('heading', { name: 'travel-plans' })
  act(() => void conversation.send('And then?'))
  await waitFor(() => expect(log.readers).toBe(1))
  drawn = []
  act(() => log.append({ type: 'text-delta', text: 'Home' }))
  await screen.findByText('Home')
  expect(new Set(drawn)).toEqual(new Set([conversation.getSnapshot().turns.at(-1)!.id]))
})
