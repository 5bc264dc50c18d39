import type { ReactNode } from 'react'

function Icon({ children }: { children: ReactNode }) {
  return (
    <svg className="icon" width={16} height={16} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      {children}
    </svg>
  )
}

/** A pen: edit. */
export const EditIcon = () => (
  <Icon>
    <path d="m3 13 .6-3L10.7 3 13 5.3 6 12.4zM9.4 4.3l2.3 2.3" />
  </Icon>
)
/** A clip: add a file. */
export const AttachIcon = () => (
  <Icon>
    <path d="m12.8 7.3-5 5a3 3 0 0 1-4.3-4.2l5.3-5.3a2 2 0 0 1 2.9 2.8l-5.2 5.2a1 1 0 0 1-1.4-1.4l4.6-4.6" />
  </Icon>
)
/** A cross: remove. */
export const RemoveIcon = () => (
  <Icon>
    <path d="m4 4 8 8M12 4l-8 8" />
  </Icon>
)
/** An angle to the beginning of the line: the one before. */
export const PreviousIcon = () => (
  <Icon>
    <path d="M10 3.5 5.5 8l4.5 4.5" className="along" />
  </Icon>
)
/** An angle to the end of the line: the next one. */
export const NextIcon = () => (
  <Icon>
    <path d="M6 3.5 10.5 8 6 12.5" className="along" />
  </Icon>
)
/** A letter i in a circle: the facts. */
export const FactsIcon = () => (
  <Icon>
    <circle cx="8" cy="8" r="5.8" />
    <path d="M8 7.4v3.4M8 5.2v.01" />
  </Icon>
)
/** A bolt: at once. */
export const NowIcon = () => (
  <Icon>
    <path d="M9 1.8 3.8 9H8l-1 5.2L12.2 7H8z" />
  </Icon>
)
