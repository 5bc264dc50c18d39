import type { Words } from '../words'

export const markdown: Words['markdown'] = {}
