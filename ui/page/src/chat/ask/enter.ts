import type { KeyboardEvent } from 'react'

/** Whether a phone's or tablet's keyboard is likely, which has no Shift+Enter. */
export function coarse(): boolean {
  return matchMedia('(pointer: coarse)').matches
}

/** Whether this Enter is for the text: a new line, or a candidate of an input method. */
export function entersLine({ shiftKey, nativeEvent, keyCode }: KeyboardEvent): boolean {
  // Safari ends a composition before it tells of the Enter that did; only the old code 229 shows it.
  return shiftKey || nativeEvent.isComposing || keyCode === 229 || coarse()
}
