import type { Code, FootnoteReference, ImageReference, LinkReference, List, ListItem, PhrasingContent, Table, TableRow } from 'mdast'
import { normalizeUri } from 'micromark-util-sanitize-uri'
import { createContext, createElement, Fragment, memo, useContext, type ComponentType, type ReactNode } from 'react'
import { CodeBlock } from './code-block'
import { ELEMENTS, Fence } from './elements'
import type { Piece, Pieced } from './growing-text'
import { keyOf, type Definitions, type Notes } from './references'
import type { Node } from './syntax'

/** The definitions of a text: links that use one read it, and nothing else is rendered again for it. */
export const DefinitionsContext = createContext<Definitions>(new Map())
/** The numbers of a text's footnotes, and what the addresses of its footnotes begin with. */
export const NotesContext = createContext<{ readonly notes: Notes; readonly prefix: string } | null>(null)

const GROUP = 32

/** Blocks one below the other; a block that did not change is not rendered again. */
export function Blocks({ nodes, after }: { nodes: readonly Node[]; after?: (index: number) => ReactNode }) {
  return grouped(nodes, (node, index) => (
    <Fragment key={index}>
      <Block node={node} top />
      {after?.(index)}
    </Fragment>
  ))
}

interface BlockProps {
  readonly node: Pieced
  /** Whether the block finds its own writing direction. */
  readonly top?: boolean
}

const Block = memo(function Block({ node, top = false }: BlockProps): ReactNode {
  const dir = top ? 'auto' : undefined
  switch (node.type) {
    case 'paragraph':
      return element('p', { dir }, <Pieces node={node} />)
    case 'heading':
      return element(`h${node.depth}`, { dir }, <Pieces node={node} />)
    case 'thematicBreak':
      return element('hr', {})
    case 'blockquote':
      return element('blockquote', { dir }, grouped(node.children, (child, index) => <Block key={index} node={child} />))
    case 'list':
      return <Items list={node} dir={dir} />
    case 'code':
      return <CodeLines node={node} />
    case 'table':
      return <Rows table={node} dir={dir} />
    case 'html':
      return element('p', { dir, className: 'raw' }, node.value)
    case 'definition':
    case 'footnoteDefinition':
      return null
    default:
      return foreign(node)
  }
})

function Pieces({ node }: { node: Pieced }) {
  const last = 'children' in node ? (node.children as PhrasingContent[]) : []
  return [...(node.pieces ?? []), last].map((piece, index) => <Words key={index} nodes={piece} />)
}

const Words = memo(function Words({ nodes }: { nodes: Piece }): ReactNode {
  return words(nodes)
})

function words(nodes: Piece): ReactNode[] {
  return nodes.map((node, index) => word(node, index, nodes[index - 1]?.type === 'break'))
}

function word(node: PhrasingContent, key: number, broken: boolean): ReactNode {
  switch (node.type) {
    case 'text':
      return text(broken ? node.value.trimStart() : node.value)
    case 'emphasis':
      return element('em', { key }, ...words(node.children))
    case 'strong':
      return element('strong', { key }, ...words(node.children))
    case 'delete':
      return element('del', { key }, ...words(node.children))
    case 'inlineCode':
      return element('code', { key }, node.value.replace(/\n/g, ' '))
    case 'break':
      return <Fragment key={key}>{element('br', {})}{'\n'}</Fragment>
    case 'link':
      return element('a', { key, href: normalizeUri(node.url), title: node.title ?? undefined }, ...words(node.children))
    case 'image':
      return element('img', { key, src: normalizeUri(node.url), alt: node.alt ?? undefined, title: node.title ?? undefined })
    case 'linkReference':
    case 'imageReference':
      return <Referred key={key} node={node} />
    case 'footnoteReference':
      return <Footnote key={key} node={node} />
    case 'html':
      return node.value
    default:
      return <Fragment key={key}>{foreign(node)}</Fragment>
  }
}

/** Text without the spaces around its line endings, which mean nothing in Markdown. */
function text(value: string): string {
  return value.includes('\n') ? value.replace(/[ \t]*\n[ \t]*/g, '\n') : value
}

function Referred({ node }: { node: LinkReference | ImageReference }): ReactNode {
  const definition = useContext(DefinitionsContext).get(keyOf(node.identifier))
  const image = node.type === 'imageReference'
  if (definition?.type !== 'definition') {
    const label = node.referenceType === 'full' ? `[${node.label ?? node.identifier}]` : node.referenceType === 'collapsed' ? '[]' : ''
    return image ? `![${node.alt}]${label}` : ['[', <Fragment key="text">{words(node.children)}</Fragment>, `]${label}`]
  }
  const url = normalizeUri(definition.url)
  const title = definition.title ?? undefined
  return image ? element('img', { src: url, alt: node.alt ?? undefined, title }) : element('a', { href: url, title }, ...words(node.children))
}

function Footnote({ node }: { node: FootnoteReference }): ReactNode {
  const numbered = useContext(NotesContext)
  const place = numbered?.notes.places.get(node)
  if (!numbered || !place) return `[^${node.label ?? node.identifier}]`
  const { number, again } = place
  const defined = numbered.notes.definitions.has(keyOf(`^${node.identifier}`))
  return (
    <sup>
      <a id={`${numbered.prefix}ref-${number}${again ? `-${again + 1}` : ''}`} href={defined ? `#${numbered.prefix}${number}` : undefined} role="doc-noteref">
        {number}
      </a>
    </sup>
  )
}

/** The footnotes that were referred to, in the order of their numbers. */
export function Footnotes({ notes, prefix, label }: { notes: Notes; prefix: string; label: string }) {
  if (notes.shown.length === 0) return null
  return (
    <section className="footnotes" role="doc-endnotes" aria-label={label} dir="auto">
      <ol>
        {notes.shown.map(({ number, count, definition }) => (
          <li key={number} id={`${prefix}${number}`} value={number}>
            {definition.children.map((child, index) => (
              <Block key={index} node={child} />
            ))}
            {Array.from({ length: count }, (_, again) => (
              <a key={again} className="back" href={`#${prefix}ref-${number}${again ? `-${again + 1}` : ''}`} role="doc-backlink" aria-label={`${label} ${number}`}>
                ↩
              </a>
            ))}
          </li>
        ))}
      </ol>
    </section>
  )
}

function Items({ list, dir }: { list: List; dir: string | undefined }) {
  const loose = list.spread || list.children.some(({ spread, children }) => spread ?? children.length > 1)
  const props = {
    dir,
    start: list.start != null && list.start !== 1 ? list.start : undefined,
    className: list.children.some(({ checked }) => checked != null) ? 'contains-task-list' : undefined,
  }
  return element(
    list.ordered ? 'ol' : 'ul',
    props,
    grouped(list.children, (item, index) => <Item key={index} item={item} loose={loose} />),
  )
}

const Item = memo(function Item({ item, loose }: { item: ListItem; loose: boolean }) {
  const task = item.checked != null
  const box = task && element('input', { key: 'box', type: 'checkbox', checked: item.checked, disabled: true })
  const blocks = item.children.filter(({ type }) => type !== 'definition' && type !== 'footnoteDefinition')
  const inFirst = blocks[0]?.type === 'paragraph'
  const parts = blocks.map((node, index) => {
    const boxed = box && index === 0 && inFirst ? [box, ' '] : null
    if (node.type !== 'paragraph') return <Block key={index} node={node} />
    const content = [boxed, <Pieces key="text" node={node} />]
    // In a tight list the text stands in the item itself, after whatever was before it.
    return loose ? element('p', { key: index }, ...content) : <Fragment key={index}>{index > 0 && '\n'}{content}</Fragment>
  })
  return element('li', { className: task ? 'task-list-item' : undefined }, ...(box && !inFirst ? [loose ? element('p', { key: 'box' }, box) : box] : []), parts)
})

function CodeLines({ node }: { node: Code & Pieced }) {
  const language = node.lang?.split(/\s+/)[0]?.slice(0, 40) || null
  const chunks = node.chunks ?? []
  const last = node.value !== '' || chunks.length > 0 ? `${node.value}\n` : ''
  if (node.open) {
    return (
      <CodeBlock language={language} code="" meta={node.meta ?? null}>
        {[...chunks, last]}
      </CodeBlock>
    )
  }
  return <Fence language={language} code={[...chunks, last].join('')} meta={node.meta ?? null} />
}

function Rows({ table, dir }: { table: Table; dir: string | undefined }) {
  const [head, ...body] = table.children
  return element(
    'table',
    { dir },
    <thead>{head && <Row row={head} align={table.align} cell="th" />}</thead>,
    body.length > 0 && <tbody>{grouped(body, (row, index) => <Row key={index} row={row} align={table.align} cell="td" />)}</tbody>,
  )
}

interface RowProps {
  readonly row: TableRow
  readonly align: Table['align']
  readonly cell: 'th' | 'td'
}

const Row = memo(
  function Row({ row, align, cell }: RowProps) {
    const cells = align ?? row.children.map(() => null)
    return (
      <tr>
        {cells.map((side, index) =>
          createElement(cell, { key: index, ...(side && { style: { textAlign: side } }) }, ...words(row.children[index]?.children ?? [])),
        )}
      </tr>
    )
  },
  (before, after) => before.row === after.row && before.align?.join() === after.align?.join(),
)

/** Content of syntax that was added, such as math: it says itself which element it is. */
function foreign(node: { readonly data?: unknown }): ReactNode {
  return hast({ type: 'element', ...named(node) })
}

interface Hast {
  readonly type: string
  readonly value?: string
  readonly tagName?: string
  readonly properties?: Record<string, unknown>
  readonly children?: readonly Hast[]
}

function named({ data }: { readonly data?: unknown }): Omit<Hast, 'type'> {
  const { hName, hProperties, hChildren } = (data ?? {}) as { hName?: string; hProperties?: Record<string, unknown>; hChildren?: Hast[] }
  return { tagName: hName ?? 'span', properties: hProperties ?? {}, children: hChildren ?? [] }
}

function hast({ type, value, tagName = 'span', properties = {}, children = [] }: Hast): ReactNode {
  if (type === 'text') return value
  const { className, ...others } = properties
  const names = Array.isArray(className) ? className.join(' ') : (className as string | undefined)
  const node = tagName in ELEMENTS ? { children } : undefined
  return element(tagName, { ...others, className: names, node }, ...children.map((child, index) => <Fragment key={index}>{hast(child)}</Fragment>))
}

/** An element as this page shows it; properties that are undefined are left out. */
function element(tag: string, props: Record<string, unknown>, ...children: ReactNode[]): ReactNode {
  const type = (ELEMENTS as Record<string, ComponentType | undefined>)[tag] ?? tag
  const given = Object.fromEntries(Object.entries(props).filter(([, value]) => value !== undefined))
  return createElement(type, given, ...children)
}

/** Children in groups, so that a thousand settled ones are a few comparisons. */
function grouped<T>(nodes: readonly T[], show: (node: T, index: number) => ReactNode): ReactNode {
  const groups: ReactNode[] = []
  for (let first = 0; first < nodes.length; first += GROUP) {
    groups.push(<Fragment key={first}>{nodes.slice(first, first + GROUP).map((node, index) => show(node, first + index))}</Fragment>)
  }
  return groups
}
