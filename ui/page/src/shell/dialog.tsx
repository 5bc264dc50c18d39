import { useId, type ReactNode } from 'react'
import { useWords } from '../words/words'
import { CloseIcon } from './icons'
import { useModal } from './use-modal'
import '../styles/dialogs.css'

interface DialogProps {
  readonly title: string
  readonly className?: string
  readonly testId: string
  readonly onClose: () => void
  readonly children: ReactNode
}

/** A modal dialog: Esc and a click beside it close it, and the focus goes back to where it was. */
export function Dialog({ title, className = '', testId, onClose, children }: DialogProps) {
  const { shell: words } = useWords()
  const id = useId()
  const frame = useModal(onClose)
  return (
    <dialog ref={frame} className={`dialog ${className}`} aria-labelledby={id} data-testid={testId}>
      <div className="dialog-body">
        <header className="dialog-head">
          <h2 id={id}>{title}</h2>
          <button type="button" className="quiet" aria-label={words.close} title={words.close} onClick={onClose}>
            <CloseIcon />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  )
}
