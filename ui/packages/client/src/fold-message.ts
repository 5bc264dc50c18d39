import { isEnding, type Ending, type LogEvent, type Usage } from './events'

/** Where a log stands, in the server's words. */
export type LogState = 'open' | 'finished' | 'stopped' | 'failed' | 'lost'

/** A tool the model called, with as much of its arguments as has arrived. */
export interface ToolCall {
  readonly id: string
  readonly name: string
  readonly arguments: string
  readonly complete: boolean
  readonly output: string | null
}

/** An answer so far: what the events of a log add up to. */
export interface Message {
  readonly id: string | null
  readonly model: string | null
  readonly text: string
  readonly reasoning: string
  readonly tools: readonly ToolCall[]
  readonly metadata: Readonly<Record<string, unknown>>
  readonly state: LogState
  readonly ending: Ending | null
  readonly usage: Usage | null
}

/** The answer before its first event. */
export const EMPTY_MESSAGE: Message = {
  id: null,
  model: null,
  text: '',
  reasoning: '',
  tools: [],
  metadata: {},
  state: 'open',
  ending: null,
  usage: null,
}

/** Adds one event to an answer; pure, so any chunking of the bytes gives the same answer. */
export function fold(message: Message, event: LogEvent): Message {
  // A sealed log has nothing after its ending: whatever comes later is a re-delivery.
  if (message.ending) return message
  if (isEnding(event)) return seal(message, event)
  switch (event.type) {
    case 'start':
      // A start opens the log: a server that replays from the beginning must not double the text.
      return { ...EMPTY_MESSAGE, id: event.message_id, model: event.model }
    case 'text-delta':
      return { ...message, text: message.text + event.text }
    case 'reasoning-delta':
      return { ...message, reasoning: message.reasoning + event.text }
    case 'tool-call-start':
      return { ...message, tools: [...message.tools, { id: event.id, name: event.name, arguments: '', complete: false, output: null }] }
    case 'tool-call-delta':
      return withTool(message, event.id, (tool) => ({ ...tool, arguments: tool.arguments + event.arguments }))
    case 'tool-call-end':
      return withTool(message, event.id, (tool) => ({ ...tool, complete: true }))
    case 'tool-result':
      // A large result comes in parts, since an event is bounded.
      return withTool(message, event.id, (tool) => ({ ...tool, complete: true, output: (tool.output ?? '') + event.output }))
    case 'metadata':
      return { ...message, metadata: { ...message.metadata, ...event.data } }
    default:
      return unreachable(event)
  }
}

/** Closes an answer with its ending. */
export function seal(message: Message, ending: Ending): Message {
  const usage = ending.type === 'finish' ? (ending.usage ?? null) : message.usage
  return { ...message, state: stateOf(ending), ending, usage }
}

/** Closes an answer with the server's summary, for a reader that can no longer get the entries themselves. */
export function settle(message: Message, log: LogSummary): Message {
  // A reader may have seen more than a dead producer stored; what was shown is never taken back.
  const text = log.text.length >= message.text.length ? log.text : message.text
  const model = log.model ?? message.model
  return { ...message, text, model, state: log.state, ending: log.ending, usage: log.usage ?? message.usage }
}

/** The part of a log's description that an answer is settled from. */
export type LogSummary = Pick<Message, 'text' | 'model' | 'state' | 'ending' | 'usage'>

function stateOf(ending: Ending): LogState {
  switch (ending.type) {
    case 'finish':
      return 'finished'
    case 'stop':
      return 'stopped'
    case 'error':
      return ending.code === 'lost' ? 'lost' : 'failed'
    default:
      return unreachable(ending)
  }
}

function withTool(message: Message, id: string, change: (tool: ToolCall) => ToolCall): Message {
  return { ...message, tools: message.tools.map((tool) => (tool.id === id ? change(tool) : tool)) }
}

function unreachable(value: never): never {
  throw new Error(`unhandled ${JSON.stringify(value)}`)
}
