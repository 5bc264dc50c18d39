export { useChat, type Chat } from './use-chat.js'
export { useLog } from './use-log.js'
