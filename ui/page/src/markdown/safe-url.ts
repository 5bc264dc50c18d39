const SAFE = new Set(['http:', 'https:', 'mailto:'])

/** The address if it is one a model may link to; null for scripts, data, files and anything relative to this page. */
export function safeUrl(href: string | undefined): string | null {
  if (!href) return null
  try {
    return SAFE.has(new URL(href).protocol) ? href : null
  } catch {
    return null
  }
}
