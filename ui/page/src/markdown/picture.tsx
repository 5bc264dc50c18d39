import { useWords } from '../words/words'
import { safeUrl } from './safe-url'

// Raster formats only: an SVG is a document, and no model has to send one as an address.
const RASTER = /^data:image\/(?:png|jpeg|gif|webp|avif);base64,[a-z\d+/=]+$/i
const LONGEST = 2_000_000

/** An image of an answer. One that is in the text itself is shown; a remote one is never loaded into the page.
 *
 * To show it would report what the model put into its address, and the page's policy forbids it: the reader may open it
 * in a tab of its own, and is told whom that tells.
 */
export function Picture({ src, alt }: { src: string | undefined; alt: string }) {
  const { markdown } = useWords()
  if (src && src.length <= LONGEST && RASTER.test(src)) return <img className="picture" src={src} alt={alt} decoding="async" />
  const label = markdown.picture(alt)
  const url = safeUrl(src)
  if (url === null || url.startsWith('mailto:')) {
    return (
      <span className="dead-link" title={markdown.deadPicture}>
        {label}
      </span>
    )
  }
  const { host } = new URL(url)
  return (
    <a className="remote-picture" href={url} target="_blank" rel="noopener noreferrer" title={markdown.remotePictureTitle(host)}>
      <span>{label}</span>
      <small>{markdown.remotePicture(host)}</small>
    </a>
  )
}
