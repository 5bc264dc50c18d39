export { ChatStore, type ChatOptions, type ChatSnapshot } from './chat-store.js'
export { browserStorage } from './browser-storage.js'
export { type Answer, type AnswerStatus, type ChatStorage, type Failure, type Question, type SavedChat, type Turn } from './chat.js'
export { parseEvent, isEnding, type Cached, type Continued, type Ending, type Entry, type LogEvent, type Saved, type Usage } from './events.js'
export { advance, EMPTY_MESSAGE, fold, type LogState, type Message, type Progress, type Seam, type ToolCall } from './fold-message.js'
export { createLiveLog, type LiveLog, type LiveLogOptions, type LogSnapshot } from './live-log.js'
export { readLog, type Outcome, type ReadOptions } from './log-reader.js'
export type { WakeSource } from './patience.js'
export {
  createTransport,
  ProblemError,
  type About,
  type AskOptions,
  type Attachment,
  type CacheStatus,
  type LogDescription,
  type Prompt,
  type PromptMessage,
  type Timing,
  type Transport,
} from './transport.js'
