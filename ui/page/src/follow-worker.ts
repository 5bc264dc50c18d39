import { createFollower, type Port } from '@headwater/client/conversations'

const follow = createFollower()

/** Runs in a shared worker: each tab that opens it brings a port. */
globalThis.addEventListener('connect', (event) => follow((event as MessageEvent).ports[0] as unknown as Port))
