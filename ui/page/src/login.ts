const DRAFT = 'headwater.draft'

/**
 * Sends a visitor without a session to the server's login box, which leads back here; nothing typed is lost. Not from
 * a shared chat, which needs none.
 */
export function withLogin(base: string, leave: (url: string) => void = (url) => location.assign(url)): typeof fetch {
  let leaving = false
  return async (...request) => {
    const response = await fetch(...request)
    if (response.status !== 401 || new URL('shared', base).pathname === location.pathname) return response
    if (!leaving) {
      leaving = true
      keepDraft(document.querySelector<HTMLTextAreaElement>('[data-testid=composer]')?.value ?? '')
      const login = new URL('login', base)
      login.searchParams.set('next', location.pathname + location.search)
      leave(login.href)
    }
    // Never answered: the chat is kept as it stands, and a running answer is read on after the login.
    return new Promise<never>(() => undefined)
  }
}

/** What was typed when the page had to leave for the login box; empty if it did not. */
export function keptDraft(): string {
  try {
    return sessionStorage.getItem(DRAFT) ?? ''
  } catch {
    return ''
  }
}

/** Keeps what is typed until the page is back; an empty text forgets it. */
export function keepDraft(text: string): void {
  try {
    if (text === '') sessionStorage.removeItem(DRAFT)
    else sessionStorage.setItem(DRAFT, text)
  } catch {
    // Forbidden storage costs the draft, not the way to the login.
  }
}
