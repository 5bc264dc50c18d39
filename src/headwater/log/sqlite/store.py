"""The default store: one SQLite file, shared by all processes of the server on a machine, and kept across restarts.

Each process has three threads, each with its own connection: one writes, one reads (`thread.py`), one watches what
other processes do (`tailer.py`). The contract itself is in `rows.py`. A commit survives the death of the process at
once, and a power cut after a moment (`synchronous = NORMAL`).
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from headwater.entries import Entry
from headwater.events import Ending
from headwater.log.counters import Count, Slots, Taken
from headwater.log.sqlite import counters
from headwater.log.sqlite.file import open_file
from headwater.log.sqlite.lock import FileLock
from headwater.log.sqlite.owners import Owners
from headwater.log.sqlite.rows import Rows
from headwater.log.sqlite.tailer import SqliteTailer
from headwater.log.sqlite.thread import SqliteThread
from headwater.log.store import (
    NO_TERMS,
    Abandoned,
    Claim,
    Description,
    Document,
    Flush,
    Lease,
    Limits,
    Receipt,
    Terms,
    check_size,
)
from headwater.log.watchers import Waiter
from headwater.offsets import ORIGIN, Offset
from headwater.principal import Principal


class SqliteStore:
    """Keeps logs in a SQLite file on a local disk. Use it from one event loop.

    Nothing happens before the first call, which creates the file and its folder if need be, starts the threads and
    begins to watch for logs whose writers died. Call `check` at start-up, so that logs left by a dead server expire
    within one lease. `clock` gives wall time in seconds, for ages and TTLs; leases run on the watching thread's clock.

    A caller waits `answer_within` seconds, also for another program that holds the write lock. Reads and hits do not
    need that lock.
    """

    def __init__(
        self,
        path: str | Path,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
        *,
        answer_within: float = 10.0,
    ) -> None:
        self.path = Path(path)
        self.limits = limits or Limits()
        self.flush = Flush()
        self._clock = clock
        started, lock = lambda: self._tailer.start(), FileLock(self.path)
        self._writes = SqliteThread(self.path, self._connect, lock, answer_within=answer_within, started=started)
        self._reads = SqliteThread(self.path, self._connect, answer_within=answer_within, started=started)
        self._owners = Owners(self.path)
        self._tailer = SqliteTailer(self._connect, self.limits, FileLock(self.path), self._owners, self._seal_lost)

    async def claim(self, name: str, log: str, principal: Principal, *, ttl: float, terms: Terms = NO_TERMS) -> Claim:
        hit = await self._reads.do(Rows.find_sealed, name, terms)
        return hit or await self._writes.do(Rows.claim, name, log, principal, ttl=ttl, terms=terms)

    async def find(self, name: str, principal: Principal, *, terms: Terms = NO_TERMS) -> Claim | None:
        hit = await self._reads.do(Rows.find_sealed, name, terms)
        return hit or await self._writes.do(Rows.find, name, principal, terms)

    async def open(
        self, log: str, principal: Principal, *, ttl: float, name: str | None = None, recovery: bytes | None = None
    ) -> Lease:
        return await self._writes.do(Rows.open, log, principal, ttl=ttl, name=name, recovery=recovery)

    async def append(self, entries: Sequence[Entry], lease: Lease) -> Receipt:
        receipt = await self._writes.do(Rows.append, entries, lease)
        if entries:
            self._tailer.wake_readers([lease.log])
        return receipt

    async def seal(self, entries: Sequence[Entry], lease: Lease) -> None:
        await self._writes.do(Rows.seal, entries, lease)
        self._tailer.wake_readers([lease.log])

    async def release(self, lease: Lease) -> None:
        await self._writes.do(Rows.release, lease)
        self._tailer.wake_readers([lease.log])

    async def abandoned(self, log: str) -> Abandoned | None:
        return await self._reads.do(Rows.abandoned, log, self._tailer.lapses.abandoned)

    async def take_over(self, entries: Sequence[Entry], log: str) -> Lease:
        lease = await self._writes.do(Rows.take_over, entries, log, self._tailer.lapses.abandoned)
        self._tailer.wake_readers([log])
        return lease

    def watch_abandoned(self, found: Callable[[str], None]) -> None:
        self._tailer.lapses.found = found

    async def read(
        self, log: str, after: Offset = ORIGIN, *, follow: bool = True
    ) -> AsyncGenerator[Sequence[Entry], None]:
        with self._tailer.follow(log) if follow else nullcontext(Waiter()) as waiter:
            while True:
                waiter.begin()
                unsealed = self._tailer.lapses.unsealed if follow else {}
                entries, sealed = await self._reads.do(Rows.page, log, after, unsealed)
                if entries:
                    yield entries
                    after = entries[-1].offset
                    if isinstance(entries[-1].event, Ending):
                        return
                elif sealed or not follow:
                    return
                else:
                    self._tailer.hurry()
                    # After a lease without news it looks again, which finds out whether the store has failed.
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self.limits.lease):
                            await waiter.wait()

    async def stop(self, log: str, subject: str) -> bool:
        stopping = await self._writes.do(Rows.stop, log, subject)
        if stopping:
            self._tailer.wake_writer(log, "stop")
        return stopping

    def listen(self, lease: Lease, wake: Callable[[], None]) -> Callable[[], None]:
        return self._tailer.listen(lease.log, lease.epoch, wake)

    async def describe(self, log: str) -> Description:
        return await self._reads.do(Rows.describe, log)

    async def forget(self, log: str) -> None:
        await self._writes.do(Rows.forget, log)
        self._tailer.wake_readers([log])
        self._tailer.wake_writer(log, "gone")

    async def constant(self, name: str, value: bytes) -> bytes:
        kept = await self._reads.do(Rows.kept, name)  # without the write lock, which others may hold
        return kept or await self._writes.do(Rows.constant, name, value)

    async def get(self, name: str, *, collection: str = "") -> Document | None:
        return await self._reads.do(Rows.get, name, collection)

    async def put(
        self, name: str, value: bytes, *, ttl: float, version: int | None = None, collection: str = ""
    ) -> Document | None:
        check_size(value)
        return await self._writes.do(Rows.put, name, value, ttl, version, collection)

    async def delete(self, name: str, *, collection: str = "") -> None:
        await self._writes.do(Rows.delete, name, collection)

    async def list_documents(self, collection: str, *, after: str = "") -> Sequence[tuple[str, Document]]:
        return await self._reads.do(Rows.list_documents, collection, after)

    async def renew_documents(self, collection: str, ttl: float) -> None:
        await self._writes.do(Rows.renew_documents, collection, ttl)

    async def delete_documents(self, collection: str) -> None:
        # Deleting large documents would hold up all writes: they expire at once, and the sweep deletes a few at a time.
        await self._writes.do(Rows.renew_documents, collection, 0)

    async def take(self, owner: str, counts: Sequence[Count] = (), slots: Slots | None = None) -> Taken:
        return await self._writes.do(counters.take, self._clock(), owner, counts, slots)

    async def check(self) -> None:
        await self._writes.do(Rows.check)

    async def aclose(self) -> None:
        await self._tailer.lapses.aclose()
        await self._writes.aclose()
        await self._reads.aclose()
        await self._tailer.aclose()
        self._owners.close()

    async def _seal_lost(self, log: str, epoch: int, beat: int) -> bool:
        return await self._writes.do(Rows.seal_lost, log, epoch, beat)

    def _connect(self) -> Rows:
        db = open_file(self.path)
        lapses = self._tailer.lapses
        return Rows(db, self.limits, self._clock, lapsed=lambda: lapses.lapsed, owner=self._owners.hold)
