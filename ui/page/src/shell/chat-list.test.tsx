import { cleanup, fireEvent, render, screen } from '@testing-library/react'
import { afterEach, expect, test, vi } from 'vitest'
import { TitleField } from './chat-list'

afterEach(cleanup)

test.each([
  ['Untitled', null],
  ['  ', null],
  [' Oceans ', 'Oceans'],
])('a field that is left with %j gives the name %j', (typed, name) => {
  const done = vi.fn()
  render(<TitleField title="Untitled" done={done} />)
  const field = screen.getByTestId('title-field')
  fireEvent.change(field, { target: { value: typed } })
  fireEvent.blur(field)
  expect(done.mock.calls).toEqual([[name]])
})
