import { cleanup, render, screen, waitFor } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { afterEach, expect, test } from 'vitest'
import { CopyButton } from './copy-button'

afterEach(cleanup)

test('on plain http a text is copied in the dialog of its button: a modal one keeps the focus from the rest of the page', async () => {
  const user = userEvent.setup()
  Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true })
  const places: (Element | null)[] = []
  Object.assign(document, { execCommand: () => places.push(document.querySelector('textarea')!.closest('dialog')) > 0 })
  render(
    <dialog open>
      <CopyButton label="Copy" text={() => 'address'} />
    </dialog>,
  )
  await user.click(screen.getByRole('button'))
  await waitFor(() => expect(screen.getByRole('button').textContent).toBe('Copied'))
  expect(places).toEqual([screen.getByRole('dialog')])
  expect(document.querySelector('textarea')).toBeNull()
})
