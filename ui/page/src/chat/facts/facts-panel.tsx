import type { ConversationAnswer } from '@headwater/client/conversations'
import type { ReactNode } from 'react'
import { useFormats } from '../../words/formats'
import { useWords } from '../../words/words'
import { CopyButton } from '../copy-button'
import { costOf, curlOf, figuresOf, streamOf } from './figures'
import '../../styles/facts.css'

interface FactsPanelProps {
  readonly answer: ConversationAnswer
  /** Whether the server wants a key. */
  readonly keys: boolean
  readonly close: () => void
}

/** Where an answer came from, what it took, and how to read its stream elsewhere. */
export default function FactsPanel({ answer, keys, close }: FactsPanelProps) {
  const { chat } = useWords()
  const { money } = useFormats()
  const { cache, message, matched, saved, status, producedAt, location, timing } = answer
  const figures = figuresOf(answer)
  const { continued } = message
  const cost = costOf(answer)
  const origin =
    cache === 'hit'
      ? chat.fromCache(chat.ago(Date.now() - (producedAt ?? answer.createdAt)))
      : cache === 'collapsed'
        ? chat.fromJoin
        : status === 'streaming'
          ? chat.fromLive
          : chat.fromModel
  const usage = chat.usage(figures.input, figures.cachedInput, figures.output, figures.reasoning)
  return (
    <section
      className="facts"
      data-testid="facts-panel"
      aria-label={chat.facts}
      onKeyDown={(event) => {
        if (event.key !== 'Escape') return
        event.preventDefault()
        event.currentTarget.closest('article')?.querySelector<HTMLElement>('[data-testid=facts]')?.focus()
        close()
      }}
    >
      <dl data-testid="stats">
        <Fact name={chat.factSource}>{origin}</Fact>
        {matched && <Fact name={chat.factMatched}>{matched}</Fact>}
        {continued.length > 0 && (
          <Fact name={chat.factContinued}>{chat.continuedBy(continued.length, continued.some(({ cause }) => cause === 'server') ? 'server' : 'provider')}</Fact>
        )}
        {saved && (saved.seconds > 0 || saved.tokens > 0) && (
          <Fact name={chat.factSaved}>{chat.saved(saved.seconds, saved.tokens, saved.cost ? money(saved.cost) : '')}</Fact>
        )}
        {cost !== null && <Fact name={chat.factCost}>{money(cost)}</Fact>}
        {timing?.first_token != null && <Fact name={chat.factFirst}>{chat.seconds(timing.first_token)}</Fact>}
        {figures.rate !== null && <Fact name={chat.factSpeed}>{chat.speed(figures.rate)}</Fact>}
        {timing?.duration != null && <Fact name={chat.factDuration}>{chat.seconds(timing.duration)}</Fact>}
        {usage !== '' && <Fact name={chat.factUsage}>{usage}</Fact>}
        {message.model && <Fact name={chat.factModel}>{message.model}</Fact>}
        {location && (
          <Fact name={chat.factStream}>
            <code>{streamOf(location)}</code>
          </Fact>
        )}
      </dl>
      {cache !== null && timing && <p>{chat.factOriginal}</p>}
      {location && (
        <p className="facts-actions">
          <CopyButton label={chat.copyCurlTitle} text={() => curlOf(location, keys)}>
            {chat.copyCurl}
          </CopyButton>
          <CopyButton label={chat.copyStream} text={() => streamOf(location)}>
            {chat.copyStream}
          </CopyButton>
        </p>
      )}
    </section>
  )
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd dir="auto">{children}</dd>
    </div>
  )
}
