import type { Seam } from '@headwater/client'
import { memo, useId, useLayoutEffect, useMemo, useRef } from 'react'
import { growText, NOTHING, type GrowingText } from './growing-text'
import { guarded } from './guarded'
import { Blocks, DefinitionsContext, Footnotes, NotesContext } from './nodes'
import { numberNotes } from './references'
import { reportRender } from './render-pace'
import { repair } from './repair'
import { useWords } from '../words/words'
import { usePaced } from './use-paced'

interface MarkdownProps {
  readonly text: string
  readonly growing: boolean
  /** Where the text broke off and went on: noted after the block in which that is, if its place is known. */
  readonly seams?: readonly Seam[]
}

/** Markdown that may still be growing: what settled is rendered once, only the end is read and rendered again. */
export const Markdown = guarded(memo(function Markdown({ text, growing, seams = [] }: MarkdownProps) {
  const began = performance.now()
  const words = useWords()
  const visible = usePaced(text, growing)
  const previous = useRef<GrowingText>(NOTHING)
  const grown = growText(previous.current, visible, growing, repair)
  useLayoutEffect(() => {
    previous.current = grown
    if (growing) reportRender(grown, performance.now() - began)
  })
  const { blocks, starts, definitions } = grown
  const prefix = `note${useId()}`.replace(/[^\w]/g, '-')
  const notes = useMemo(
    () => (grown.source.includes('[^') ? { notes: numberNotes(blocks, definitions), prefix } : null),
    [grown, blocks, definitions, prefix],
  )
  const marks = (index: number) => {
    const [begin, end] = [starts[index] ?? 0, starts[index + 1] ?? Infinity]
    return seams.map(({ cause, at }, number) => at !== undefined && at > begin && at <= end && <Mark key={number} cause={cause} />)
  }
  return (
    <DefinitionsContext value={definitions}>
      <NotesContext value={notes}>
        <Blocks nodes={blocks} {...(seams.length > 0 && { after: marks })} />
        {notes && <Footnotes {...notes} label={words.markdown.footnotes} />}
      </NotesContext>
    </DefinitionsContext>
  )
}))

function Mark({ cause }: Pick<Seam, 'cause'>) {
  const { markdown } = useWords()
  return (
    <p className="seam" role="note">
      {cause === 'server' ? markdown.serverSeam : markdown.providerSeam}
    </p>
  )
}
