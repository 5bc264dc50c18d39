import { useId } from 'react'
import { CopyButton } from '../chat/copy-button'
import { useWords } from '../words/words'

/** An address to hand on: shown whole, and copied by a button. */
export function AddressField({ address }: { address: string }) {
  const { shell: words } = useWords()
  const id = useId()
  return (
    <div className="field">
      <label htmlFor={id}>{words.address}</label>
      <div className="address">
        <input id={id} readOnly dir="ltr" data-testid="address" value={address} onFocus={({ target }) => target.select()} />
        <CopyButton label={words.copy} text={() => address} />
      </div>
    </div>
  )
}
