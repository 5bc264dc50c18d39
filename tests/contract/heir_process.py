"""A server process on Redis or Upstash for tests: `heir_process.py <url> <token or -> <command> <log>…`; prints lines.

`take`: prints `ready`, waits for a line, takes over each log that it can and ends it; prints how many those were.
`write`: claims the name `name` for the log with a recovery, prints `ready`, and writes a word every millisecond until
its writer is fenced off; then prints `fenced`.
"""

import asyncio
import random
import sys

from headwater.errors import Fenced, Sealed
from headwater.events import Continued, TextDelta
from headwater.log.redis.store import RedisStore
from headwater.log.store import Store, Terms
from headwater.log.upstash.store import UpstashStore
from headwater.log.writer import Writer
from headwater.testing.contract_harness import ALICE, LIMITS, QUICK, TTL, WHOLE, entry


def say(what: str) -> None:
    sys.stdout.write(what + "\n")
    sys.stdout.flush()


async def take(store: Store, logs: list[str]) -> int:
    won = 0
    for log in random.sample(logs, len(logs)):
        try:
            lease = await store.take_over([entry(3, Continued("server", "prefill", "1-2"), 2)], log)
        except (Fenced, Sealed):
            continue
        won += 1
        await store.append([entry(4, TextDelta("c"), 2)], lease)
        await store.seal([entry(5, WHOLE, 2)], lease)
    return won


async def write(store: Store, log: str) -> None:
    claim = await store.claim("name", log, ALICE, ttl=TTL, terms=Terms(recovery=b"prompt"))
    assert claim.lease is not None
    async with Writer(store, claim.lease) as writer:
        ended = asyncio.Event()
        writer.interrupt = ended.set
        say("ready")
        while not ended.is_set():
            writer.append([TextDelta("old")])
            await writer.room()
            await asyncio.sleep(0.001)
        say("fenced" if writer.fenced else "broken")


async def main(url: str, token: str, command: str, *logs: str) -> None:
    limits = LIMITS if command == "take" else QUICK
    store = RedisStore(url, limits) if token == "-" else UpstashStore(url, token, limits)
    if command == "take":
        await store.check()
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        say(str(await take(store, list(logs))))
    else:
        await write(store, logs[0])
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
