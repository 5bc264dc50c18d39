import type { CompileContext, Extension } from 'mdast-util-from-markdown'
import type { Processor } from 'unified'

/** Marks the code of a fence: by `data-open` while its end is missing, then by `data-meta` if it says more than a language. */
export const openFences: Extension = {
  exit: {
    codeFencedFence(this: CompileContext) {
      if (this.data.flowCodeInside) {
        // The second fence closes; between it and its node is the buffer of the code.
        const code = this.stack.at(-2)
        if (code?.type === 'code') code.data = { hProperties: code.meta ? { dataMeta: code.meta } : {} } as never
        return
      }
      const code = this.stack.at(-1)!
      code.data = { hProperties: { dataOpen: true } } as never
      this.buffer()
      this.data.flowCodeInside = true
    },
  },
}

/** The same as a remark plugin. */
export function remarkOpenFences(this: Processor): void {
  const data = this.data() as { fromMarkdownExtensions?: unknown[] }
  ;(data.fromMarkdownExtensions ??= []).push(openFences)
}
