import type { Code, FootnoteReference, ImageReference, LinkReference, List, ListItem, PhrasingContent, Table, TableRow } from 'mdast'
import { normalizeUri } from 'micromark-util-sanitize-uri'
import { createContext, Fragment, memo, useContext, type ReactNode } from 'react'
import { CodeBlock } from './code-block'
import { Fence, SafeLink, Table as ScrolledTable, Task } from './elements'
import { Formula } from './formula/formula'
import type { Piece, Pieced } from './growing-text'
import { Picture } from './picture'
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
      return (
        <p dir={dir}>
          <Pieces node={node} />
        </p>
      )
    case 'heading': {
      const Heading = `h${node.depth}` as const
      return (
        <Heading dir={dir}>
          <Pieces node={node} />
        </Heading>
      )
    }
    case 'thematicBreak':
      return <hr />
    case 'blockquote':
      return <blockquote dir={dir}>{grouped(node.children, (child, index) => <Block key={index} node={child} />)}</blockquote>
    case 'list':
      return <Items list={node} dir={dir} />
    case 'code':
      return <CodeLines node={node} />
    case 'table':
      return <Rows table={node} />
    case 'formula':
      return <Formula source={node.value} />
    case 'html':
      return (
        <p dir={dir} className="raw">
          {node.value}
        </p>
      )
    default:
      // A definition shows nothing where it stands.
      return null
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
      return <em key={key}>{words(node.children)}</em>
    case 'strong':
      return <strong key={key}>{words(node.children)}</strong>
    case 'delete':
      return <del key={key}>{words(node.children)}</del>
    case 'inlineCode':
      return <code key={key}>{node.value.replace(/\n/g, ' ')}</code>
    case 'break':
      return (
        <Fragment key={key}>
          <br />
          {'\n'}
        </Fragment>
      )
    case 'link':
      return (
        <SafeLink key={key} href={normalizeUri(node.url)}>
          {words(node.children)}
        </SafeLink>
      )
    case 'image':
      return <Picture key={key} src={normalizeUri(node.url)} alt={node.alt ?? ''} />
    case 'linkReference':
    case 'imageReference':
      return <Referred key={key} node={node} />
    case 'footnoteReference':
      return <Footnote key={key} node={node} />
    case 'formula':
      return <Formula key={key} source={node.value} />
    case 'html':
      return node.value
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
  return image ? <Picture src={url} alt={node.alt ?? ''} /> : <SafeLink href={url}>{words(node.children)}</SafeLink>
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
  const className = list.children.some(({ checked }) => checked != null) ? 'contains-task-list' : undefined
  const items = grouped(list.children, (item, index) => <Item key={index} item={item} loose={loose} />)
  const start = list.start != null && list.start !== 1 ? list.start : undefined
  return list.ordered ? <ol {...{ dir, className, start }}>{items}</ol> : <ul {...{ dir, className }}>{items}</ul>
}

const Item = memo(function Item({ item, loose }: { item: ListItem; loose: boolean }) {
  const task = item.checked != null
  const box = task && <Task key="box" done={item.checked ?? false} />
  const blocks = item.children.filter(({ type }) => type !== 'definition' && type !== 'footnoteDefinition')
  const inFirst = blocks[0]?.type === 'paragraph'
  const parts = blocks.map((node, index) => {
    const boxed = box && index === 0 && inFirst ? [box, ' '] : null
    if (node.type !== 'paragraph') return <Block key={index} node={node} />
    const content = [boxed, <Pieces key="text" node={node} />]
    // In a tight list the text stands in the item itself, after whatever was before it.
    return loose ? <p key={index}>{content}</p> : <Fragment key={index}>{index > 0 && '\n'}{content}</Fragment>
  })
  return (
    <li className={task ? 'task-list-item' : undefined}>
      {box && !inFirst && (loose ? <p>{box}</p> : box)}
      {parts}
    </li>
  )
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

function Rows({ table }: { table: Table }) {
  const [head, ...body] = table.children
  return (
    <ScrolledTable>
      <thead>{head && <Row row={head} align={table.align} cell="th" />}</thead>
      {body.length > 0 && <tbody>{grouped(body, (row, index) => <Row key={index} row={row} align={table.align} cell="td" />)}</tbody>}
    </ScrolledTable>
  )
}

interface RowProps {
  readonly row: TableRow
  readonly align: Table['align']
  readonly cell: 'th' | 'td'
}

const Row = memo(
  function Row({ row, align, cell: Cell }: RowProps) {
    const cells = align ?? row.children.map(() => null)
    return (
      <tr>
        {cells.map((side, index) => (
          <Cell key={index} {...(side && { style: { textAlign: side } })}>
            {words(row.children[index]?.children ?? [])}
          </Cell>
        ))}
      </tr>
    )
  },
  (before, after) => before.row === after.row && before.align?.join() === after.align?.join(),
)

/** Children in groups, so that a thousand settled ones are a few comparisons. */
function grouped<T>(nodes: readonly T[], show: (node: T, index: number) => ReactNode): ReactNode {
  const groups: ReactNode[] = []
  for (let first = 0; first < nodes.length; first += GROUP) {
    groups.push(<Fragment key={first}>{nodes.slice(first, first + GROUP).map((node, index) => show(node, first + index))}</Fragment>)
  }
  return groups
}
