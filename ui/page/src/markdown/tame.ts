/** Quotes and lists that may stand in each other. A parser follows them by recursion, and so does what shows them. */
const DEEPEST = 30
const MARK = /[ \t]*(?:>|[-+*](?=[ \t])|\d{1,9}[.)](?=[ \t]))/y
const TOO_DEEP = new RegExp(`^(?:[ \\t]*(?:>|[-+*](?=[ \\t])|\\d{1,9}[.)](?=[ \\t]))){${DEEPEST + 1}}.*`, 'gm')
const LIKE: Readonly<Record<string, string>> = { '>': '›', '-': '‐', '+': '＋', '*': '∗', '.': '․', ')': '）' }

/** The text, in which the marks of quotes and lists that stand too deep are signs that only look like them.
 *
 * It keeps its length, and all but such a text comes back as it is.
 */
export function tamed(text: string): string {
  return text.replace(TOO_DEEP, (line) => {
    let at = 0
    for (let depth = 0; depth < DEEPEST; depth++) {
      MARK.lastIndex = at
      MARK.exec(line)
      at = MARK.lastIndex
    }
    let end = at
    for (MARK.lastIndex = at; MARK.exec(line); ) end = MARK.lastIndex
    return line.slice(0, at) + line.slice(at, end).replace(/[>\-+*.)]/g, (sign) => LIKE[sign] ?? sign) + line.slice(end)
  })
}
