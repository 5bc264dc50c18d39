import type { ReactNode } from 'react'

function Icon({ children, size = 16 }: { children: ReactNode; size?: number }) {
  return (
    <svg className="icon" width={size} height={size} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      {children}
    </svg>
  )
}

/** The name's sign: springs high up that run together into one stream. */
export function Mark({ size = 24 }: { size?: number }) {
  return (
    <svg className="mark" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d="M4.5 2.5c0 5 7 4.5 7 9.5" className="mark-branch" />
      <path d="M19.5 2.5c0 6-7.5 5-7.5 10.5" className="mark-branch" />
      <path d="M12 2v10.5c0 4.5-4.5 4-4.5 9.5" className="mark-stream" />
    </svg>
  )
}

/** An arrow into the stream: send. */
export const SendIcon = () => (
  <Icon size={18}>
    <path d="M8 13V3M3.5 7.5 8 3l4.5 4.5" />
  </Icon>
)
/** A square: stop. */
export const StopIcon = () => (
  <Icon size={18}>
    <rect x="4" y="4" width="8" height="8" rx="1.5" className="filled" />
  </Icon>
)
/** Two sheets: copy. */
export const CopyIcon = () => (
  <Icon>
    <rect x="5.5" y="5.5" width="8" height="8" rx="1.5" />
    <path d="M10.5 3.5v-.3c0-.4-.3-.7-.7-.7H3.2c-.4 0-.7.3-.7.7v6.6c0 .4.3.7.7.7h.3" />
  </Icon>
)
/** A tick: done. */
export const CheckIcon = () => (
  <Icon>
    <path d="m3 8.5 3.2 3.2L13 5" />
  </Icon>
)
/** A turning arrow: again. */
export const AgainIcon = () => (
  <Icon>
    <path d="M13 8a5 5 0 1 1-1.6-3.7M13 2.5v2.8h-2.8" />
  </Icon>
)
/** A pen on a page: new chat. */
export const NewChatIcon = () => (
  <Icon>
    <path d="M8 2.5H4A1.5 1.5 0 0 0 2.5 4v8A1.5 1.5 0 0 0 4 13.5h8a1.5 1.5 0 0 0 1.5-1.5V8M6.5 9.5l.4-2 5.3-5.3 1.6 1.6L8.5 9.1z" />
  </Icon>
)
/** A sun: light. */
export const SunIcon = () => (
  <Icon>
    <circle cx="8" cy="8" r="2.8" />
    <path d="M8 1.5v1.3M8 13.2v1.3M1.5 8h1.3M13.2 8h1.3M3.4 3.4l.9.9M11.7 11.7l.9.9M3.4 12.6l.9-.9M11.7 4.3l.9-.9" />
  </Icon>
)
/** A moon: dark. */
export const MoonIcon = () => (
  <Icon>
    <path d="M13.3 9.6A5.6 5.6 0 0 1 6.4 2.7a5.6 5.6 0 1 0 6.9 6.9z" />
  </Icon>
)
/** A downward arrow: to the newest text. */
export const DownIcon = () => (
  <Icon>
    <path d="M8 3v10M3.5 8.5 8 13l4.5-4.5" />
  </Icon>
)
/** A drop over a line: from the cache. */
export const CacheIcon = () => (
  <Icon size={12}>
    <path d="M8 1.8c2.6 3.2 4.2 5.4 4.2 7.8a4.2 4.2 0 0 1-8.4 0c0-2.4 1.6-4.6 4.2-7.8z" />
  </Icon>
)
/** A window with its side: the list of chats. */
export const SidebarIcon = () => (
  <Icon>
    <rect x="2" y="3" width="12" height="10" rx="2" />
    <path d="M6.2 3v10" />
  </Icon>
)
/** A magnifying glass: search. */
export const SearchIcon = () => (
  <Icon>
    <circle cx="7" cy="7" r="4.2" />
    <path d="m10.2 10.2 3.3 3.3" />
  </Icon>
)
/** Sliders: settings. */
export const SettingsIcon = () => (
  <Icon>
    <path d="M2.5 5h6M12 5h1.5M2.5 11H4M7.5 11h6" />
    <circle cx="10.2" cy="5" r="1.7" />
    <circle cx="5.8" cy="11" r="1.7" />
  </Icon>
)
/** Three dots: what else can be done. */
export const MoreIcon = () => (
  <Icon>
    <path d="M3.5 8h.01M8 8h.01M12.5 8h.01" strokeWidth={2.4} />
  </Icon>
)
/** A cross: close. */
export const CloseIcon = () => (
  <Icon>
    <path d="m4 4 8 8M12 4l-8 8" />
  </Icon>
)
