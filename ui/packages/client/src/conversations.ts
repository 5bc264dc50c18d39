export { base64 } from './file-data.js'
export type {
  Branch,
  CacheFigures,
  ChatSettings,
  Connection,
  Conversation,
  ConversationAnswer,
  ConversationMatch,
  ConversationQuestion,
  Conversations,
  ConversationSnapshot,
  ConversationsSnapshot,
  ConversationSummary,
  ConversationTurn,
  QuestionFile,
  QueuedQuestion,
  SearchResult,
} from './conversations-types.js'
export { createConversations, type ConversationsOptions, type OpenConversations } from './create-conversations.js'
export type { Port } from './follow-types.js'
export { createFollower } from './follow-worker.js'
