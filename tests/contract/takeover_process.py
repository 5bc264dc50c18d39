"""A server process for tests of takeovers: `takeover_process.py <file> <command> <log>…`; it prints lines.

`answer`: opens the logs with a recovery, prints `ready`, and appends to each until it is fenced, which it prints.
`plain`: the same without a recovery.
`succeed`: prints `ready`, takes over each log that is found abandoned, seals it, and prints it.
`begin`: takes over the first log that is found abandoned, prints `ready`, and is silent.
"""

import asyncio
import sys

from headwater.errors import Fenced, HeadwaterError
from headwater.events import Continued
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Lease
from headwater.testing.contract_harness import ALICE, LIMITS, TTL, WHOLE, entry, run


def say(what: str) -> None:
    sys.stdout.write(what + "\n")
    sys.stdout.flush()


async def answer(store: SqliteStore, logs: list[str], recovery: bytes | None) -> None:
    for log in logs:
        await store.open(log, ALICE, ttl=TTL, recovery=recovery)
    sequence = 0
    try:
        while True:
            sequence += 1
            for log in logs:
                await store.append(run(f"zombie {sequence}", begin=sequence), Lease(log))
            if sequence == 3:
                say("ready")
            await asyncio.sleep(0.01)
    except Fenced:
        say("fenced")


async def take_over(store: SqliteStore, found: str) -> tuple[Lease, int] | None:
    """The lease and the next sequence, if nobody was faster."""
    try:
        about = await store.abandoned(found)
        if about is None:
            return None
        after = f"{about.epoch}-{about.last}"
        seam = entry(about.last + 1, Continued("server", "prefill", after, rewind=after), about.epoch + 1)
        return await store.take_over([seam], found), about.last + 2
    except HeadwaterError:
        return None


async def main(path: str, command: str, *logs: str) -> None:
    store = SqliteStore(path, LIMITS)
    if command in ("answer", "plain"):
        await answer(store, list(logs), b"recovery" if command == "answer" else None)
        return
    abandoned: asyncio.Queue[str] = asyncio.Queue()
    store.watch_abandoned(abandoned.put_nowait)
    await store.check()
    if command == "succeed":
        say("ready")
    while True:
        taken = await take_over(store, await abandoned.get())
        if taken is None:
            continue
        if command == "begin":
            say("ready")
            await asyncio.Event().wait()
        lease, sequence = taken
        await store.seal([entry(sequence, WHOLE, lease.epoch)], lease)
        say(lease.log)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
