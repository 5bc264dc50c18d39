import type { Words } from '../words'
import { chat } from './chat'
import { markdown } from './markdown'
import { shell } from './shell'

export const words: Words = { chat, markdown, shell }
