import type { CacheFigures } from '@headwater/client/conversations'
import { useEffect, useState } from 'react'
import { useFormats } from '../words/formats'
import { useWords } from '../words/words'
import { Dialog } from './dialog'
import type { PanelProps } from './panels'
import { reasonOf } from './reason'

/** What the cache has done for this visitor, and the way to make it forget. */
export default function CachePanel({ conversations, onClose }: PanelProps) {
  const { shell: words } = useWords()
  const { number, duration, money } = useFormats()
  const [figures, setFigures] = useState<CacheFigures | null>(null)
  const [note, setNote] = useState('')
  const [asking, setAsking] = useState<boolean | null>(null)
  const fail = (error: unknown) => setNote(words.failed(reasonOf(error)))
  useEffect(() => {
    conversations.cache().then(setFigures, fail)
    // Asked once; what is cleared is asked for again below.
  }, [conversations]) // eslint-disable-line react-hooks/exhaustive-deps
  const clear = () => {
    setAsking(false)
    conversations
      .clearCache()
      .then(() => setNote(words.cacheCleared))
      .then(conversations.cache)
      .then(setFigures)
      .catch(fail)
  }
  const lines: readonly (readonly [string, string])[] = figures
    ? [
        [words.cacheAnswers, number(figures.answers)],
        [words.cacheHits, number(figures.hits)],
        [words.cacheJoins, number(figures.joins)],
        [words.cacheSeconds, duration(figures.saved.seconds)],
        [words.cacheTokens, number(figures.saved.tokens)],
        ...(figures.saved.cost == null ? [] : [[words.cacheCost, money(figures.saved.cost)] as const]),
        [words.cacheEntries, number(figures.entries)],
      ]
    : []
  return (
    <Dialog title={words.cache} testId="cache-dialog" onClose={onClose}>
      <p>{words.cacheText}</p>
      {figures ? (
        <dl className="figures" data-testid="cache-figures">
          {lines.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
      ) : (
        note === '' && <p>{words.loading}</p>
      )}
      <p className="field-hint" role="status">
        {note}
      </p>
      {asking ? (
        <div className="confirm">
          <p>{words.cacheConfirm}</p>
          <button type="button" className="button danger" data-testid="cache-clear-yes" autoFocus onClick={clear}>
            {words.cacheClear}
          </button>
          <button type="button" className="button" onClick={() => setAsking(false)}>
            {words.cancel}
          </button>
        </div>
      ) : (
        // It takes the focus of what it was asked by, and keeps it when nothing is left to clear.
        <button type="button" className="button" data-testid="cache-clear" autoFocus={asking === false} aria-disabled={!figures?.entries} onClick={() => figures?.entries && setAsking(true)}>
          {words.cacheClear}
        </button>
      )}
    </Dialog>
  )
}
