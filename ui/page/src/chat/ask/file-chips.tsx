import { useWords, type Words } from '../../words/words'
import { RemoveIcon } from '../icons'
import type { FileLimits, Files, Refusal } from './use-files'

interface FileChipsProps {
  readonly files: Files
  readonly limits: FileLimits
  readonly focusBox: () => void
}

/** The files of a question before it is sent: previews that can be removed, the limits, and what was refused. */
export function FileChips({ files, limits, focusBox }: FileChipsProps) {
  const { chat } = useWords()
  const { all, refused, dropping } = files
  return (
    <>
      {dropping && <p className="files-note">{chat.drop}</p>}
      {all.length > 0 && (
        <ul className="file-chips" aria-label={chat.attached} data-testid="files">
          {all.map(({ name, type, size, data }, index) => (
            <li key={index}>
              {type.startsWith('image/') && data && <img src={`data:${type};base64,${data}`} alt="" />}
              <span className="file-name">{name}</span>
              <small>{sizeOf(size)}</small>
              <button
                type="button"
                className="quiet icon-only"
                aria-label={chat.removeFile(name)}
                onClick={() => {
                  files.remove(index)
                  focusBox()
                }}
              >
                <RemoveIcon />
              </button>
            </li>
          ))}
        </ul>
      )}
      {(all.length > 0 || dropping) && <p className="files-note">{chat.attachLimits(limits.count, sizeOf(limits.bytes), limits.images)}</p>}
      <div role="alert">
        {refused.map((refusal, index) => (
          <p className="files-note files-refused" key={index}>
            {wordsOf(refusal, limits, chat)}
          </p>
        ))}
      </div>
    </>
  )
}

function wordsOf({ why, name }: Refusal, limits: FileLimits, chat: Words['chat']): string {
  if (why === 'tooMany') return chat.tooMany(limits.count)
  if (why === 'tooLargeImage') return chat.tooLargeAlone(name, sizeOf(limits.each.image))
  if (why === 'tooLargeText') return chat.tooLargeAlone(name, sizeOf(limits.each.text))
  return why === 'tooLarge' ? chat.tooLarge(name, sizeOf(limits.bytes)) : chat[why](name)
}

/** Bytes as people read them. */
function sizeOf(bytes: number): string {
  const [value, unit] = bytes < 1000 ? [bytes, 'byte'] : bytes < 1_000_000 ? [bytes / 1000, 'kilobyte'] : [bytes / 1_000_000, 'megabyte']
  const language = document.documentElement.lang || undefined
  return new Intl.NumberFormat(language, { style: 'unit', unit, unitDisplay: 'short', maximumFractionDigits: value < 10 && unit !== 'byte' ? 1 : 0 }).format(value)
}
