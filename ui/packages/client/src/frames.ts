import { ProtocolError } from './events.js'

/** What a stream of Server-Sent Events consists of, as the native dialect writes it (docs/protocol.md, Frames). */
export interface FrameListener {
  readonly onFrame: (id: string | undefined, data: string) => void
  readonly onRetry: (ms: number) => void
  readonly onComment: () => void
}

// An event is at most 64 kB, and every one of its characters may be escaped as \uXXXX.
const LARGEST_FRAME = 1_000_000

/** Makes a function that takes the text of a response, in any pieces; a frame cut off by the end is never reported. */
export function createFrameParser({ onFrame, onRetry, onComment }: FrameListener): (text: string) => void {
  let rest = ''
  let id: string | undefined
  let data: string[] = []
  return (text) => {
    const lines = (rest + text).split(/\r?\n/)
    rest = lines.pop()!
    for (const line of lines) {
      const [, name, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line)!
      if (line === '') {
        if (data.length > 0) onFrame(id, data.join('\n'))
        id = undefined
        data = []
      } else if (name === 'data') data.push(value)
      else if (name === 'id') id = value
      else if (name === 'retry' && /^\d+$/.test(value)) onRetry(+value)
      else if (name === '') onComment()
    }
    if (rest.length > LARGEST_FRAME) throw new ProtocolError('a frame of the stream has no end')
  }
}
