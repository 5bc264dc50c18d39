import type { Words } from '../words/words'

type Kind = keyof Words['chat']['problems']

/** What people read for the codes of refusals and broken answers; the server's own words are a detail. */
const KINDS: Readonly<Record<string, Kind>> = {
  unreachable: 'unreachable',
  gone: 'gone',
  expired: 'gone',
  no_such_log: 'gone',
  lost: 'lost',
  busy: 'busy',
  rate_limited: 'limited',
  server_full: 'limited',
  http_429: 'limited',
  at_capacity: 'limited',
  quota_exceeded: 'quota',
  context_length: 'tooLong',
  provider_refused: 'refused',
  provider_auth: 'access',
  provider_not_found: 'access',
  provider_moved: 'access',
  provider_unreachable: 'away',
  provider_error: 'away',
  provider_timeout: 'slow',
  timeout: 'slow',
  provider_cut: 'broken',
  provider_garbled: 'broken',
  truncated: 'broken',
  cannot_continue: 'broken',
  model: 'model',
  model_unavailable: 'model',
  weights_unavailable: 'model',
  unreadable_output: 'model',
  unknown_model: 'unknownModel',
  invalid_prompt: 'invalid',
  bad_request: 'invalid',
  body_too_large: 'tooLarge',
  document_too_large: 'tooLarge',
  log_limit: 'tooLarge',
  file_too_large: 'tooLarge',
  http_413: 'tooLarge',
  prompt_too_large: 'tooLarge',
  unsupported_file: 'invalid',
  invalid_conversation: 'invalid',
  shutdown: 'restart',
  http_502: 'restart',
  http_503: 'restart',
  store: 'store',
  unauthorized: 'signIn',
  not_allowed: 'notAllowed',
  no_such_conversation: 'missing',
  // Those of this page itself.
  storage: 'unkept',
  files: 'files',
  unsent: 'unsent',
}

/** The sentence for a code, in the words of the page; one for all that are not known. */
export function problemWords(code: string, words: Words): string {
  return words.chat.problems[KINDS[code] ?? 'other']
}
