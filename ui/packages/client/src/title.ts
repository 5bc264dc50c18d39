const LONGEST = 60

/** A title for a chat that the server has not named yet: the first line of its question, in whole words. */
export function titleOf(text: string): string {
  const line = (/\S.*/.exec(text.replace(/[#*_`>~]+/g, '')) ?? [''])[0].trim()
  if (line.length <= LONGEST) return line
  const cut = line.slice(0, LONGEST)
  return `${cut.slice(0, Math.max(cut.lastIndexOf(' '), 0) || LONGEST - 1)}…`
}
