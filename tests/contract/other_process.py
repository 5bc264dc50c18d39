"""A server process for tests: `other_process.py <file> <command> <log>`; it prints lines.

`write`: claims the name `name`, writes three entries, prints `ready`, and is silent until asked to stop.
`stream`: claims the name, and writes 500 entries in many flushes, then the ending.
`claim`: prints `ready`, waits for a line, claims the name, prints whether it won and which log it got, and stays.
"""

import asyncio
import sys

from headwater.events import Finish, Stop, TextDelta
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Lease
from headwater.log.writer import Writer
from headwater.principal import Principal
from headwater.testing.contract_harness import QUICK

ALICE = Principal("acme", "alice")


def say(what: str) -> None:
    sys.stdout.write(what + "\n")
    sys.stdout.flush()


async def write(store: SqliteStore, lease: Lease) -> None:
    async with Writer(store, lease) as writer:
        stopped = asyncio.Event()
        writer.interrupt = stopped.set
        writer.append([TextDelta("a"), TextDelta("b"), TextDelta("c")])
        while (await store.describe(lease.log)).last.sequence < 3:
            await asyncio.sleep(0.005)
        say("ready")
        await stopped.wait()
        await writer.seal(Stop(writer.stop or "nobody"))


async def stream(store: SqliteStore, lease: Lease) -> None:
    async with Writer(store, lease) as writer:
        for i in range(500):
            writer.append([TextDelta(str(i))])
            await asyncio.sleep(0.001)
            await writer.room()
        await writer.seal(Finish("stop"))


async def main(path: str, command: str, log: str) -> None:
    store = SqliteStore(path, QUICK)
    await store.constant("started", b"")
    if command == "claim":
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        claim = await store.claim("name", log, ALICE, ttl=60)
        say(f"{'won' if claim.won else 'lost'} {claim.log}")
        await asyncio.to_thread(sys.stdin.readline)  # the winner's end would be noticed, and its log be lost
    else:
        claim = await store.claim("name", log, ALICE, ttl=60)
        assert claim.lease is not None
        await (write if command == "write" else stream)(store, claim.lease)
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
