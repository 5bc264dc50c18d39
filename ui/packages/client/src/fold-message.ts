import { isEnding, type Continued, type Ending, type Entry, type LogEvent, type Usage } from './events.js'

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

/** A seam, and how much of the text stands before it; without that in an answer that was settled from the server's summary. */
export interface Seam extends Continued {
  readonly at?: number
}

/** An answer so far: what the events of a log add up to. The server folds the same in `src/headwater/answer.py`. */
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
  readonly continued: readonly Seam[]
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
  continued: [],
}

/** Adds one event to an answer; pure, so any chunking of the bytes gives the same answer. */
export function fold(message: Message, event: LogEvent): Message {
  // A sealed log has nothing after its ending: whatever comes later is a re-delivery.
  if (message.ending) return message
  if (isEnding(event)) {
    return { ...message, state: stateOf(event), ending: event, usage: (event.type === 'finish' && event.usage) || null }
  }
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
    case 'tool-call-end':
    case 'tool-result':
      return { ...message, tools: grown(message.tools, event) }
    case 'metadata':
      return { ...message, metadata: { ...message.metadata, ...event.data } }
    case 'continued':
      return { ...message, continued: [...message.continued, { ...event, at: message.text.length }] }
    default:
      // A newer server may write events that mean nothing here.
      event satisfies never
      return message
  }
}

/** An answer together with the place in its log that it reaches to. */
export interface Progress {
  readonly message: Message
  readonly cursor: string | null
}

/** Adds entries to an answer, and moves its place in the log. */
export function advance({ message, cursor }: Progress, entries: readonly Entry[]): Progress {
  for (const { id, event } of entries) {
    message = fold(message, event)
    cursor = id ?? cursor
  }
  return { message, cursor }
}

/** Closes an answer with the server's summary, for a reader that can no longer get the entries themselves. */
export function settle(seen: Message, log: LogSummary): Message {
  const { continued = [] } = log
  // What a reader saw of an answer that has gone on since then may not be part of it any more.
  const message = continued.length > seen.continued.length ? { ...EMPTY_MESSAGE, id: seen.id, continued } : seen
  return {
    ...message,
    // A reader may have seen more than a dead producer stored; what was shown of a lost answer is never taken back.
    text: longer(message.text, log.text),
    reasoning: longer(message.reasoning, log.reasoning),
    tools: settleTools(message.tools, log.tools ?? []),
    metadata: { ...message.metadata, ...log.metadata },
    model: log.model ?? message.model,
    state: log.state,
    ending: log.ending,
    usage: log.usage,
  }
}

/** The part of a log's description that an answer is settled from; an older server leaves out the optional fields. */
export type LogSummary = Pick<Message, 'text' | 'model' | 'state' | 'ending' | 'usage'> &
  Partial<Pick<Message, 'reasoning' | 'tools' | 'metadata' | 'continued'>>

// Both lists grew from the same events, so one holds each call at the same place and only one of them has more of it.
function settleTools(seen: readonly ToolCall[], stored: readonly ToolCall[]): readonly ToolCall[] {
  const settled = seen.map((tool, index): ToolCall => {
    const other = stored[index] ?? tool
    return {
      ...tool,
      arguments: longer(tool.arguments, other.arguments),
      complete: tool.complete || other.complete,
      output: longer(tool.output, other.output),
    }
  })
  return [...settled, ...stored.slice(seen.length)]
}

function longer<T extends string | null>(seen: T, stored: T | undefined): T {
  return stored != null && stored.length >= (seen ?? '').length ? stored : seen
}

function stateOf(ending: Ending): LogState {
  if (ending.type === 'finish') return 'finished'
  if (ending.type === 'stop') return 'stopped'
  return ending.code === 'lost' ? 'lost' : 'failed'
}

interface ToolEvent {
  readonly type: string
  readonly id: string
  readonly arguments?: string
  readonly output?: string
}

/** Adds an event to the calls of its id. A large result comes in parts, since an event is bounded. */
function grown(tools: readonly ToolCall[], event: ToolEvent): readonly ToolCall[] {
  return tools.map((tool) => {
    if (tool.id !== event.id) return tool
    return {
      ...tool,
      arguments: tool.arguments + (event.arguments ?? ''),
      complete: tool.complete || event.type !== 'tool-call-delta',
      output: event.output == null ? tool.output : (tool.output ?? '') + event.output,
    }
  })
}
