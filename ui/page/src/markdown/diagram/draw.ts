import program from '@mermaid-js/tiny/dist/mermaid.tiny.js?packed'

/** A diagram as an image: the markup of an SVG, and its size in pixels. */
export interface Drawing {
  readonly svg: string
  readonly width: number
  readonly height: number
}

/** Longer sources, and drawings, are not worth the reader's time. */
const LONGEST = 20_000
const LARGEST = 2_000_000
const GZIP = 0x1f
// Pictures, fonts and styles from elsewhere. The frame's policy blocks them; such a source is not even tried.
const FOREIGN = /\bimg\s*:|<img\b|url\s*\(|@import/i
const PATIENCE = 15_000
const ROOT = /^<svg[^>]*\sviewBox="[-\d.e]+[ ,]+[-\d.e]+[ ,]+([\d.e]+)[ ,]+([\d.e]+)"/

let frame: Promise<HTMLIFrameElement> | null = null
let text: Promise<string> | null = null
let turn: Promise<unknown> = Promise.resolve()

/** Draws one diagram after the other. Raises an error with Mermaid's words where it cannot.
 *
 * Mermaid runs in a frame that the server puts into a sandbox: no origin, no network, no way to the page. What comes
 * back is a text, and is only ever shown as an image, in which nothing runs and nothing loads.
 */
export function draw(source: string): Promise<Drawing> {
  const drawing = turn.then(() => drawNow(source))
  turn = drawing.catch(() => undefined)
  return drawing
}

async function drawNow(source: string): Promise<Drawing> {
  if (source.length > LONGEST) throw new Error('the source is too long')
  if (FOREIGN.test(source)) throw new Error('the source wants to load something')
  text ??= fetchProgram()
  frame ??= open()
  const [to, code] = await Promise.all([frame, text])
  const { svg, error } = await ask(to, { program: code, text: source, config: config() })
  const [, width, height] = (svg && svg.length <= LARGEST && ROOT.exec(svg)) || []
  if (!svg || !width || !height) throw new Error(error ?? 'the drawing is too large')
  return { svg, width: Number(width), height: Number(height) }
}

async function fetchProgram(): Promise<string> {
  try {
    const response = await fetch(program)
    if (!response.ok) throw new Error(`status ${response.status}`)
    const bytes = await response.blob()
    const [first] = new Uint8Array(await bytes.slice(0, 1).arrayBuffer())
    const plain = first === GZIP ? bytes.stream().pipeThrough(new DecompressionStream('gzip')) : bytes.stream()
    return await new Response(plain).text()
  } catch (error) {
    text = null
    throw error
  }
}

function open(): Promise<HTMLIFrameElement> {
  return new Promise((done) => {
    const element = document.createElement('iframe')
    element.setAttribute('sandbox', 'allow-scripts')
    element.src = new URL('diagram.html', document.baseURI).href
    element.className = 'drawing-frame'
    element.tabIndex = -1
    element.ariaHidden = 'true'
    element.onload = () => done(element)
    document.body.append(element)
  })
}

interface Reply {
  readonly svg?: string
  readonly error?: string
}

function ask(to: HTMLIFrameElement, job: object): Promise<Reply> {
  return new Promise((done) => {
    const { port1, port2 } = new MessageChannel()
    const timer = setTimeout(() => {
      // A source that keeps Mermaid busy for ever loses its frame; the next one gets another.
      to.remove()
      frame = null
      done({ error: 'it takes too long' })
    }, PATIENCE)
    port1.onmessage = ({ data }: MessageEvent<Reply>) => {
      clearTimeout(timer)
      port1.close()
      done(data)
    }
    // A sandboxed document has no origin that could be named.
    to.contentWindow?.postMessage(job, '*', [port2])
  })
}

/** Mermaid's settings, in the colours of the page. */
function config(): object {
  const styles = getComputedStyle(document.documentElement)
  const colour = (name: string) => styles.getPropertyValue(`--${name}`).trim()
  return {
    startOnLoad: false,
    securityLevel: 'strict',
    suppressErrorRendering: true,
    htmlLabels: false,
    flowchart: { htmlLabels: false },
    maxTextSize: LONGEST,
    maxEdges: 300,
    theme: 'base',
    fontFamily: 'sans-serif',
    themeVariables: {
      darkMode: styles.colorScheme === 'dark',
      background: colour('sunken'),
      primaryColor: colour('stream-soft'),
      primaryTextColor: colour('ink'),
      primaryBorderColor: colour('stream'),
      secondaryColor: colour('surface'),
      tertiaryColor: colour('paper'),
      lineColor: colour('ink-soft'),
      textColor: colour('ink'),
    },
  }
}
