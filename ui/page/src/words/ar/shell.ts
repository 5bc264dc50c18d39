import type { Words } from '../words'

export const shell: Words['shell'] = {}
