import { memo, useEffect, useRef, useState } from 'react'
import { useTheme } from '../../shell/theme'
import { useWords } from '../../words/words'
import { DiagramIcon, SourceIcon } from '../code/icons'
import { Toolbar } from '../code/toolbar'
import type { Drawing } from './draw'

type State = { readonly type: 'drawing' | 'failed' } | { readonly type: 'drawn'; readonly url: string; readonly drawing: Drawing }

/** A diagram of Mermaid, drawn once it comes near the view. Its frame keeps one height, whatever is in it. */
export const Diagram = memo(function Diagram({ source }: { source: string }) {
  const { markdown } = useWords()
  const frame = useRef<HTMLElement>(null)
  const [asSource, setAsSource] = useState(false)
  const state = useDrawing(frame, source)
  const shown = state.type === 'drawn' && !asSource ? state : null
  const toggle = asSource ? markdown.showDiagram : markdown.showSource
  return (
    <figure ref={frame} className="code diagram" data-state={state.type}>
      <Toolbar title={markdown.diagram} copyLabel={markdown.copySource} source={() => source} file={() => fileOf(state, source)}>
        <button type="button" className="quiet" aria-label={toggle} title={toggle} disabled={state.type !== 'drawn'} onClick={() => setAsSource(!asSource)}>
          {asSource ? <DiagramIcon /> : <SourceIcon />}
        </button>
      </Toolbar>
      {shown ? (
        <div className="diagram-view">
          <img src={shown.url} width={shown.drawing.width} height={shown.drawing.height} alt={markdown.diagramAlt} />
        </div>
      ) : (
        <div className="diagram-view" dir="ltr" tabIndex={0} role="group" aria-label={markdown.code('mermaid')}>
          {state.type === 'failed' && <p className="diagram-note">{markdown.diagramFailed}</p>}
          {state.type === 'drawing' && <p className="diagram-note visually-hidden">{markdown.diagramDrawing}</p>}
          <pre>
            <code>{source}</code>
          </pre>
        </div>
      )}
    </figure>
  )
})

function fileOf(state: State, source: string): File {
  if (state.type === 'drawn') return new File([state.drawing.svg], 'diagram.svg', { type: 'image/svg+xml' })
  return new File([source], 'diagram.mmd', { type: 'text/plain' })
}

function useDrawing(frame: React.RefObject<HTMLElement | null>, source: string): State {
  const { seen } = useTheme()
  const [state, setState] = useState<State>({ type: 'drawing' })
  useEffect(() => {
    const element = frame.current
    if (element === null || typeof IntersectionObserver === 'undefined') return
    let left = false
    let url = ''
    const show = (drawing: Drawing) => {
      if (left) return
      url = URL.createObjectURL(new Blob([drawing.svg], { type: 'image/svg+xml' }))
      setState({ type: 'drawn', url, drawing })
    }
    const nearby = new IntersectionObserver(
      (entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return
        nearby.disconnect()
        import('./draw').then(({ draw }) => draw(source)).then(show, () => left || setState({ type: 'failed' }))
      },
      { rootMargin: '300px' },
    )
    nearby.observe(element)
    return () => {
      left = true
      nearby.disconnect()
      // The image that shows it may have to go first.
      if (url) setTimeout(() => URL.revokeObjectURL(url), 1000)
    }
  }, [frame, source, seen])
  return state
}
