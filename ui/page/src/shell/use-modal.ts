import { useEffect, useRef } from 'react'

/** Shows a `<dialog>` for as long as it is mounted. */
export function useModal(onClose: () => void) {
  const frame = useRef<HTMLDialogElement>(null)
  const close = useRef(onClose)
  close.current = onClose
  useEffect(() => {
    const dialog = frame.current!
    const before = document.activeElement
    dialog.showModal()
    // The browser would choose the first button, which closes it.
    dialog.querySelector<HTMLElement>('[data-first]')?.focus()
    const leave = () => {
      // A field that goes with the dialog would never say that it was left, and what is in it would not be kept.
      if (document.activeElement instanceof HTMLElement) document.activeElement.blur()
      close.current()
    }
    const onCancel = (event: Event) => {
      event.preventDefault()
      leave()
    }
    // The dialog is its own backdrop: what it holds covers it whole.
    const onPointer = (event: Event) => event.target === dialog && leave()
    dialog.addEventListener('cancel', onCancel)
    dialog.addEventListener('pointerdown', onPointer)
    return () => {
      dialog.removeEventListener('cancel', onCancel)
      dialog.removeEventListener('pointerdown', onPointer)
      dialog.close()
      // What had the focus may have gone with what the dialog did.
      if (before instanceof HTMLElement && before.isConnected) before.focus()
    }
  }, [])
  return frame
}
