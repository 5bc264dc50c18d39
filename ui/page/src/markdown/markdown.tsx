import type { Seam } from '@headwater/client'
import { Fragment, memo, useLayoutEffect, useRef } from 'react'
import ReactMarkdown from 'react-markdown'
import remarkGfm from 'remark-gfm'
import remend from 'remend'
import { remarkOpenFences } from './code/open-fences'
import { ELEMENTS } from './elements'
import { remarkFormulas } from './formula/remark-formulas'
import { guarded } from './guarded'
import { reportRender } from './render-pace'
import { NO_BLOCKS, splitBlocks, type Blocks } from './split-blocks'

const PLUGINS = [remarkGfm, remarkFormulas, remarkOpenFences]
// One or two backticks at the start of a line are mostly a code fence on its way.
const HALF_FENCE = /(^|\n) {0,3}(`{1,2}|~{1,2})$/
const UNFINISHED = { katex: false, linkMode: 'text-only' } as const

interface MarkdownProps {
  readonly text: string
  readonly growing: boolean
  /** Where the text broke off and went on: noted after the block in which that is. */
  readonly seams?: readonly Seam[]
}

/** Markdown that may still be growing: settled blocks are rendered once, only the end is rendered again. */
export const Markdown = guarded(memo(function Markdown({ text, growing, seams = [] }: MarkdownProps) {
  const began = performance.now()
  const previous = useRef<Blocks>(NO_BLOCKS)
  const split = splitBlocks(previous.current, text)
  useLayoutEffect(() => {
    previous.current = split
    if (growing) reportRender(split, performance.now() - began)
  })
  const last = split.blocks.length - 1
  let end = 0
  return split.blocks.map((block, index) => {
    const begin = end
    end = index === last ? Infinity : begin + block.length
    return (
      // Settled blocks never move, so the position is the identity.
      <Fragment key={index}>
        <Block text={growing && index === last ? repair(block) : block} />
        {seams.map(({ cause, at = text.length }, number) => at > begin && at <= end && <Mark key={number} cause={cause} />)}
      </Fragment>
    )
  })
}))

function Mark({ cause }: Pick<Seam, 'cause'>) {
  const who = cause === 'server' ? 'The server' : 'The provider'
  return (
    <p className="seam" role="note">
      {who} broke off here; the answer goes on.
    </p>
  )
}

const Block = memo(function Block({ text }: { text: string }) {
  return (
    <div className="block" dir="auto">
      {/* Addresses are judged where they are shown, and by one rule. */}
      <ReactMarkdown remarkPlugins={PLUGINS} components={ELEMENTS} urlTransform={identity}>
        {text}
      </ReactMarkdown>
    </div>
  )
})

function repair(block: string): string {
  return remend(block.replace(HALF_FENCE, '$1'), UNFINISHED)
}

function identity(url: string): string {
  return url
}
