import type { Copies } from './copies.js'
import type { Link } from './link.js'
import type { Outbox } from './outbox.js'
import type { Requests } from './requests.js'
import type { Shelf } from './shelf.js'
import type { Transport } from './transport.js'
import type { WireSummary } from './wire.js'

/** What a conversation needs of the page around it. */
export interface Surroundings {
  readonly requests: Requests
  readonly transport: Transport
  readonly link: Link
  readonly outbox: Outbox
  readonly shelf: Shelf
  readonly copies: Copies
  readonly pace: (() => number) | undefined
  readonly hasDraft: (id: string) => boolean
  /** The list's line of this conversation has changed; null where only the server knows how. */
  readonly changed: (id: string, summary: WireSummary | null) => void
  /** The token of a conversation that is only looked at. */
  readonly shared?: string
}
