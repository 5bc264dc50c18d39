"""A process at work on a SQLite file for two seconds: `busy_process.py <file> <number>`; prints a JSON report."""

import asyncio
import json
import sys
import time

from headwater.errors import StoreError
from headwater.events import TextDelta
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Limits
from headwater.testing.contract_harness import ALICE, TTL, WHOLE, entry

WORKERS = 8
SECONDS = 2.0


class Report:
    """What happened to the calls of this process."""

    def __init__(self) -> None:
        self.rounds = 0
        self.longest = 0.0
        self.refused: list[str] = []


async def work(store: SqliteStore, name: str, end: float, report: Report) -> None:
    """Ask, answer, seal, and hit what was sealed, again and again."""
    round = 0
    while time.monotonic() < end:
        round += 1
        begin = time.monotonic()
        try:
            key = f"{name}-{round}"
            claim = await store.claim(key, f"log-{key}", ALICE, ttl=TTL)
            assert claim.lease is not None
            await store.append([entry(1, TextDelta("a")), entry(2, TextDelta("b"))], claim.lease)
            await store.seal([entry(3, WHOLE)], claim.lease)
            for _ in range(3):
                assert (await store.claim(key, "unused", ALICE, ttl=TTL)).state == "finished"
            report.rounds += 1
        except StoreError as refusal:
            report.refused.append(str(refusal))
        report.longest = max(report.longest, time.monotonic() - begin)


async def main(path: str, number: str) -> None:
    store, report = SqliteStore(path, Limits()), Report()
    await store.check()
    end = time.monotonic() + SECONDS
    await asyncio.gather(*(work(store, f"{number}-{worker}", end, report) for worker in range(WORKERS)))
    await store.aclose()
    sys.stdout.write(json.dumps(vars(report)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
