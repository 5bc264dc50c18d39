/** The fields of one frame; a comment, which is the server's heartbeat, is a frame without any. */
export type Frame = { readonly [field in 'id' | 'data' | 'retry' | 'event']?: string | undefined }

// An event is at most 64 kB, and every one of its characters may be escaped as \uXXXX.
const LARGEST_FRAME = 1_000_000

/**
 * Makes a function that takes the text of a response in any pieces, and returns the frames that each one completes.
 *
 * It reads Server-Sent Events as the native dialect writes them (docs/protocol.md, Frames): at most one line of data in
 * a frame. A frame that the end of the text cuts off is never returned. Throws a
 * `SyntaxError` where a frame has no end.
 */
export function createFrameParser(): (text: string) => Frame[] {
  let rest = ''
  let frame: Record<string, string | undefined> = {}
  return (text) => {
    const frames: Frame[] = []
    const lines = (rest + text).split(/\r?\n/)
    rest = lines.pop()!
    for (const line of lines) {
      const [name, value] = line.split(/: ?(.*)/s) as [string, string?]
      if (name) frame[name] = value
      else if (line) frames.push({})
      else {
        frames.push(frame)
        frame = {}
      }
    }
    if (rest.length > LARGEST_FRAME) throw new SyntaxError('not an event')
    return frames
  }
}
