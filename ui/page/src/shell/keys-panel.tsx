import { useWords } from '../words/words'
import { Dialog } from './dialog'
import { keyNames } from './keys'
import type { PanelProps } from './panels'

/** The list of what the keys do. */
export default function KeysPanel({ onClose }: PanelProps) {
  const { shell: words } = useWords()
  const keys: readonly (readonly [string, string])[] = [
    [keyNames('ctrl', 'K'), words.keySearch],
    [keyNames('ctrl', 'shift', 'O'), words.keyNewChat],
    [keyNames('ctrl', '/'), words.keyKeys],
    ['Enter', words.keySend],
    [keyNames('shift', 'Enter'), words.keyLine],
    ['Esc', words.keyStop],
    ['↑', words.keyEdit],
    ['F2', words.keyRename],
  ]
  return (
    <Dialog title={words.keys} testId="keys-dialog" onClose={onClose}>
      <dl className="figures">
        {keys.map(([key, what]) => (
          <div key={key}>
            <dt>{what}</dt>
            <dd>
              <kbd>{key}</kbd>
            </dd>
          </div>
        ))}
      </dl>
    </Dialog>
  )
}
