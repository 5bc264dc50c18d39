/**
 * Sends a visitor without a session to the server's login box, which leads back here; what was typed is kept as a draft.
 * Not from a shared chat, which needs none.
 */
export function withLogin(base: string, leave: (url: string) => void = (url) => location.assign(url)): typeof fetch {
  let leaving = false
  return async (...request) => {
    const response = await fetch(...request)
    if (response.status !== 401 || new URL('shared', base).pathname === location.pathname) return response
    if (!leaving) {
      leaving = true
      const login = new URL('login', base)
      login.searchParams.set('next', location.pathname + location.search)
      leave(login.href)
    }
    // Never answered: the chat is kept as it stands, and a running answer is read on after the login.
    return new Promise<never>(() => undefined)
  }
}
