import { expect, test } from 'vitest'
import { connecting, MAX_FAILURES, transition, type ConnectionInput, type ConnectionState } from './connection-state.js'

const BROKEN: ConnectionInput = { type: 'broken', random: 1 }
const after = (inputs: readonly ConnectionInput[], state: ConnectionState = connecting(null)) =>
  inputs.reduce((current, input) => transition(current, input).state, state)

test('a break waits longer each time, with jitter over half the wait', () => {
  let state = connecting(null)
  const waits: unknown[] = []
  for (const random of [1, 0, 1, 1, 1, 1, 1]) {
    const next = transition(state, { type: 'broken', random })
    state = next.state
    waits.push(next.action.type === 'wait' && next.action.ms)
  }
  expect(waits).toEqual([2000, 2000, 8000, 16000, 30000, 30000, 30000])
})

test('the server chooses the wait, and may ask for more', () => {
  const state = after([{ type: 'retry', ms: 100 }])
  expect(transition(state, BROKEN).action).toEqual({ type: 'wait', ms: 100, attempt: 1 })
  expect(transition(state, { ...BROKEN, notBefore: 12_000 }).action).toEqual({ type: 'wait', ms: 12_000, attempt: 1 })
})

test('a reader gives up after a bounded number of attempts without progress', () => {
  const tired = after(Array.from({ length: MAX_FAILURES }, () => BROKEN))
  expect(transition(tired, BROKEN).action).toEqual({ type: 'give-up', attempts: MAX_FAILURES })
})

test.each<ConnectionInput>([{ type: 'entry', id: '1-2', ending: false }, { type: 'alive' }])('%j is progress', (input) => {
  expect(after([BROKEN, BROKEN, input]).failures).toBe(0)
})

test('opening alone is no progress: a server that accepts and drops is given up', () => {
  expect(after([BROKEN, { type: 'opened' }]).failures).toBe(1)
})

test('the cursor is the last id seen; an entry without one leaves it alone', () => {
  const state = after([{ type: 'entry', id: '1-2', ending: false }, { type: 'entry', id: undefined, ending: false }])
  expect(transition(state, { type: 'waited' }).action).toEqual({ type: 'connect', cursor: '1-2' })
})

test('an ending is the end, whatever the connection does afterwards', () => {
  const done = after([{ type: 'entry', id: '1-3', ending: true }])
  expect(transition(done, BROKEN)).toEqual({ state: done, action: { type: 'none' } })
})

test('nothing left asks for the summary; a wake connects at once', () => {
  expect(transition(connecting('1-1'), { type: 'nothing-left' }).action).toEqual({ type: 'settle' })
  expect(transition(connecting('1-1'), { type: 'stale' }).action).toEqual({ type: 'connect', cursor: '1-1' })
})

test('a state is never changed in place', () => {
  const state = Object.freeze(connecting('1-1'))
  expect(transition(state, BROKEN).state).not.toBe(state)
})
