import { expect, test } from 'vitest'
import { answerNode, questionNode } from '../../../testing/conversation-server.js'
import type { ConversationAnswer } from './conversations-types.js'
import { below, branches, merge, pathTo, tip, type Tree } from './tree.js'
import type { WireNode } from './wire.js'

const NODES = [
  questionNode('q1', null, 'One?'),
  answerNode('a1', 'q1', { state: 'finished', text: 'One' }),
  questionNode('q2', 'a1', 'Two?'),
  answerNode('a2', 'q2', { state: 'finished', text: 'Two' }),
  answerNode('a1b', 'q1', { state: 'finished', text: 'Other' }),
  answerNode('a2b', 'q2', { location: '/api/streams/log' }),
] as unknown as WireNode[]
const tree = merge(new Map(), NODES)

test('a path goes from the first turn to its leaf', () => {
  expect(pathTo(tree, 'a2')).toEqual(['q1', 'a1', 'q2', 'a2'])
  expect(pathTo(tree, 'a1b')).toEqual(['q1', 'a1b'])
  expect(pathTo(tree, null)).toEqual([])
  expect(pathTo(tree, 'nowhere')).toEqual([])
})

test('a circle, or a parent that is missing, ends a path', () => {
  const [q1, a1] = [tree.get('q1')!, tree.get('a1')!]
  const circle: Tree = new Map([
    ['q1', { ...q1, parent: 'a1' }],
    ['a1', a1],
  ])
  expect(pathTo(circle, 'a1')).toEqual(['q1', 'a1'])
  expect(pathTo(new Map([['a1', a1]]), 'a1')).toEqual(['a1'])
})

test('the end of a branch is the newest, or the one that was shown before', () => {
  const lists = below(tree)
  expect(tip(lists, null)).toBe('a1b')
  expect(tip(lists, 'q2')).toBe('a2b')
  expect(tip(lists, null, new Map([['q1', 'a1'], ['q2', 'a2']]))).toBe('a2')
  expect(tip(lists, 'a2')).toBe('a2')
})

test('a turn has its alternatives beside it', () => {
  const found = branches(tree, below(tree), pathTo(tree, 'a2'))
  expect([...found]).toEqual([
    ['a1', { index: 0, count: 2, previous: null, next: 'a1b' }],
    ['a2', { index: 0, count: 2, previous: null, next: 'a2b' }],
  ])
  const again = branches(tree, below(tree), pathTo(tree, 'a2b'), found)
  expect(again.get('a1')).toBe(found.get('a1'))
})

test('merging keeps what is the same, takes what has ended, and leaves what is only here', () => {
  const reading = { ...tree.get('a2b')!.turn, cursor: '1-3' } as never
  const here = { turn: { ...tree.get('q1')!.turn, id: 'q3' }, parent: 'a2', known: 'here' as const }
  const before: Tree = new Map([...tree, ['a2b', { turn: reading, parent: 'q2', known: 'there' }], ['q3', here]])
  const open = merge(before, NODES)
  for (const [id, leafed] of before) expect(open.get(id)!.turn).toBe(leafed.turn)
  const ended = merge(before, NODES.map((node) => (node.id === 'a2b' ? { ...node, state: 'finished', text: 'All' } : node)) as WireNode[])
  expect(ended.get('a2b')).toMatchObject({ known: 'final', turn: { message: { text: 'All' } } })
  expect(merge(before, NODES.slice(0, 2)).has('q2')).toBe(false)
  expect([...merge(before, NODES.slice(0, 2)).keys()]).toEqual(['q1', 'a1', 'q3'])
})

test('the seams of an answer keep their places when the server has all of it, if its text is the same', () => {
  const seam = { type: 'continued', cause: 'server', way: 'prefill', after: '1-2' } as const
  const node = answerNode('a2b', 'q2', { state: 'finished', text: 'All', continued: [seam] })
  const { turn } = tree.get('a2b')! as { turn: ConversationAnswer }
  const read = (text: string) => new Map([['a2b', { turn: { ...turn, message: { ...turn.message, text, continued: [{ ...seam, at: 2 }] } }, parent: 'q2', known: 'there' as const }]])
  const places = (text: string) => (merge(read(text), [node as unknown as WireNode]).get('a2b')!.turn as ConversationAnswer).message.continued.map(({ at }) => at)
  expect(places('All')).toEqual([2])
  expect(places('Al')).toEqual([undefined])
})
