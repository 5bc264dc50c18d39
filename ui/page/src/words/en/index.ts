import { chat } from './chat'
import { markdown } from './markdown'
import { shell } from './shell'

export const words = { chat, markdown, shell }
