import type { ConversationAnswer } from '@headwater/client/conversations'

/** The figures of an answer; counts that nobody reported are 0. */
export interface Figures {
  readonly input: number
  /** How many of the tokens read came from the provider's own cache. */
  readonly cachedInput: number
  readonly output: number
  /** How many of the tokens written were reasoning. */
  readonly reasoning: number
  /** Tokens a second after the first one; null where a burst has no rate worth the name. */
  readonly rate: number | null
}

/** What the server and the provider counted. */
export function figuresOf({ timing, message: { usage } }: Pick<ConversationAnswer, 'timing' | 'message'>): Figures {
  // Answers of older servers have the finer counts in the provider's own words.
  const details = (usage as { details?: Readonly<Record<string, unknown>> } | null)?.details ?? {}
  const output = usage?.output_tokens ?? 0
  const spent = timing?.first_token != null && timing.duration != null ? timing.duration - timing.first_token : 0
  return {
    input: usage?.input_tokens ?? 0,
    cachedInput: usage?.cached_tokens || detail(details, 'input_token_details', 'cache_read') || detail(details, 'prompt_tokens_details', 'cached_tokens'),
    output,
    reasoning: usage?.reasoning_tokens || detail(details, 'output_token_details', 'reasoning') || detail(details, 'completion_tokens_details', 'reasoning_tokens'),
    rate: output > 1 && spent > 0.005 ? output / spent : null,
  }
}

function detail(details: Readonly<Record<string, unknown>>, group: string, name: string): number {
  const found = (details[group] as Readonly<Record<string, unknown>> | null | undefined)?.[name]
  return typeof found === 'number' ? found : 0
}

/** What the answer cost in US dollars, where the server or the provider says so. */
export function costOf({ message: { usage, metadata } }: Pick<ConversationAnswer, 'message'>): number | null {
  const told = usage?.cost ?? metadata.cost
  return typeof told === 'number' && told > 0 ? told : null
}

/** The name of a stream: the last part of its address. */
export function streamOf(location: string): string {
  return new URL(location, document.baseURI).pathname.split('/').at(-1) ?? ''
}

/** A command that reads the stream of an answer from its beginning, and goes on while it is being written. */
export function curlOf(location: string, keys: boolean): string {
  const address = new URL(location, document.baseURI).href
  const quoted = `'${address.replaceAll("'", "'\\''")}'`
  // The key of a login is in a cookie that no script can read.
  return `curl -N -H 'Accept: text/event-stream' ${keys ? '-H "Authorization: Bearer $HEADWATER_KEY" ' : ''}${quoted}`
}
