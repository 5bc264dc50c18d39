import type { Branch } from '@headwater/client/conversations'
import { useId, type KeyboardEvent } from 'react'
import { useWords } from '../../words/words'
import { NextIcon, PreviousIcon } from '../icons'

/** The alternatives of a turn, without objects that are new for every token. */
export type BranchProps = Pick<Branch, 'index' | 'count' | 'previous' | 'next'>

interface BranchPickerProps extends BranchProps {
  readonly choose: (turn: string, control: HTMLElement) => void
}

/** ‹ 2 / 3 ›: flips between the versions of a turn, by buttons or by arrow keys. */
export function BranchPicker({ index, count, previous, next, choose }: BranchPickerProps) {
  const { chat } = useWords()
  const place = useId()
  const flip = (turn: string | null, control: HTMLElement) => turn !== null && choose(turn, control)
  const onKeyDown = (event: KeyboardEvent<HTMLElement>) => {
    if (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight') return
    event.preventDefault()
    const backwards = (event.key === 'ArrowLeft') === (getComputedStyle(event.currentTarget).direction !== 'rtl')
    flip(backwards ? previous : next, event.currentTarget)
  }
  // Buttons at an end stay focusable, so that flipping there does not lose the focus.
  const button = (direction: 'previous' | 'next', turn: string | null) => (
    <button
      type="button"
      className="quiet icon-only"
      data-direction={direction}
      aria-label={direction === 'next' ? chat.branchNext : chat.branchPrevious}
      aria-describedby={place}
      aria-disabled={turn === null}
      onClick={(event) => flip(turn, event.currentTarget)}
    >
      {direction === 'next' ? <NextIcon /> : <PreviousIcon />}
    </button>
  )
  return (
    <span className="branch-picker" role="group" aria-label={chat.branches} data-testid="branches" onKeyDown={onKeyDown}>
      {button('previous', previous)}
      <span aria-hidden="true" className="branch-place">
        {chat.branchPlace(index + 1, count)}
      </span>
      <span id={place} className="visually-hidden">
        {chat.branchSpoken(index + 1, count)}
      </span>
      {button('next', next)}
    </span>
  )
}
