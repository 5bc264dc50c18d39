import { useEffect, useState } from 'react'
import { useFormats } from '../words/formats'
import { useWords } from '../words/words'
import { AddressField } from './address-field'
import { Dialog } from './dialog'
import type { PanelProps } from './panels'
import { reasonOf } from './reason'

/** A one-time address that makes another device the same visitor. */
export default function JoinPanel({ conversations, onClose }: PanelProps) {
  const { shell: words } = useWords()
  const { date } = useFormats()
  const [link, setLink] = useState<{ readonly url: string; readonly expiresAt: number } | null>(null)
  const [failure, setFailure] = useState<string | null>(null)
  useEffect(() => {
    conversations.joinAddress().then(setLink, (error: unknown) => setFailure(reasonOf(error)))
  }, [conversations])
  return (
    <Dialog title={words.secondDevice} testId="join-dialog" onClose={onClose}>
      <p>{words.joinText}</p>
      {link && <AddressField address={link.url} />}
      {link && <p className="field-hint">{words.joinUntil(date(link.expiresAt))}</p>}
      {!link && <p role="status">{failure === null ? words.loading : words.failed(failure)}</p>}
    </Dialog>
  )
}
