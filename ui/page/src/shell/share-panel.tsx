import { useState, useSyncExternalStore } from 'react'
import { useWords } from '../words/words'
import { AddressField } from './address-field'
import { Dialog } from './dialog'
import type { PanelProps } from './panels'
import { reasonOf } from './reason'

/** Makes, shows and revokes the live, read-only address of a chat. */
export default function SharePanel({ conversation, onClose }: PanelProps) {
  const { shell: words } = useWords()
  const { shared } = useSyncExternalStore(conversation.subscribe, conversation.getSnapshot)
  const [failure, setFailure] = useState<string | null>(null)
  const [busy, setBusy] = useState(false)
  const run = (act: () => Promise<unknown>) => {
    setBusy(true)
    setFailure(null)
    void act()
      .catch((error: unknown) => setFailure(reasonOf(error)))
      .finally(() => setBusy(false))
  }
  return (
    <Dialog title={words.share} testId="share-dialog" onClose={onClose}>
      <p>{words.shareText}</p>
      {shared !== null && <AddressField address={shared} />}
      {failure !== null && <p role="alert">{words.failed(failure)}</p>}
      {shared === null ? (
        <button type="button" className="button" data-testid="share-make" disabled={busy} onClick={() => run(conversation.share)}>
          {words.shareMake}
        </button>
      ) : (
        <button type="button" className="button danger" data-testid="share-end" disabled={busy} onClick={() => run(conversation.unshare)}>
          {words.shareEnd}
        </button>
      )}
    </Dialog>
  )
}
