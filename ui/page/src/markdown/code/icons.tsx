import type { ReactNode } from 'react'

function Icon({ children }: { children: ReactNode }) {
  return (
    <svg className="icon" width={16} height={16} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      {children}
    </svg>
  )
}

/** A line that turns back: wrap. */
export const WrapIcon = () => (
  <Icon>
    <path d="M2.5 4h11M2.5 8h8.2a2.2 2.2 0 0 1 0 4.4H8M9.5 10.8 7.9 12.4l1.6 1.6M2.5 12.4h2.6" />
  </Icon>
)
/** An arrow into a tray: download. */
export const DownloadIcon = () => (
  <Icon>
    <path d="M8 2.5v7M5 7l3 3 3-3M2.5 12.5h11" />
  </Icon>
)
/** Two boxes and a line: a diagram. */
export const DiagramIcon = () => (
  <Icon>
    <path d="M2.5 2.5h5v4h-5zM8.5 9.5h5v4h-5zM5 6.5v5h3.5" />
  </Icon>
)
/** Angle brackets: source. */
export const SourceIcon = () => (
  <Icon>
    <path d="M5.5 4.5 2 8l3.5 3.5M10.5 4.5 14 8l-3.5 3.5" />
  </Icon>
)
