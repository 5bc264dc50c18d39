export { useChat, type Chat } from './use-chat'
export { useLog } from './use-log'
