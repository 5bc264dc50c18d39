// A browser reads `https:path` as relative to an https page, and backslashes as slashes; a URL parser alone says neither.
const FORM = /^(?:https?:\/\/[^/\\@]|mailto:)/i

/** The address if it is one a model may link to; null for scripts, data, files and anything relative to this page.
 *
 * Null, too, with a name before the host (`https://bank.example@evil.example`), which only serves to deceive.
 */
export function safeUrl(href: string | undefined): string | null {
  if (!href || !FORM.test(href)) return null
  try {
    const { username, password } = new URL(href)
    return username || password ? null : href
  } catch {
    return null
  }
}
