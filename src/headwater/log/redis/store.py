"""The store for many machines: Redis 7 or Valkey 8 and newer, a single server or a cluster, without modules.

Each step of the contract is one Lua script (`../lua/`), so it is atomic and takes one round trip. A log is a stream, a
hash and a lease; `lua/log.lua` lists the keys. Every key always has a TTL.

Data that Redis loses, in a restart without persistence, a failover or an eviction, is noticed at the next access: the
log is then reported as expired or lost, its writer is fenced off and its readers get an error. How much Redis can lose
is a matter of its configuration: `appendonly yes` and `maxmemory-policy noeviction` lose least.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence

from headwater.entries import Entry
from headwater.errors import NoSuchLog, StoreError, Torn
from headwater.events import Ending
from headwater.log.lua.script import tag
from headwater.log.lua.steps import Page, Sight
from headwater.log.lua.store import LuaStore
from headwater.log.names import names_in
from headwater.log.packs import packed
from headwater.log.redis.client import RedisClient, Unanswered
from headwater.log.redis.tailer import RedisTailer
from headwater.log.redis.times import RedisTimes
from headwater.log.store import (
    NO_TERMS,
    Claim,
    Flush,
    Lease,
    Limits,
    Receipt,
    Terms,
    check_offset,
)
from headwater.log.watchers import Waiter
from headwater.offsets import ORIGIN, TAG, Offset
from headwater.principal import Principal

LIMITS = Limits(lease=6.0, heartbeat=2.0)
"""A death is noticed sooner than elsewhere: heartbeats are cheap here, and only silent writers send any."""
CONNECTIONS = 32
"""Connections of one process to a server, at most; further scripts wait for one. A script takes Redis 10 to 50 µs."""
LOGS_PER_LOOK = 100
"""Logs that one script looks at, which Redis does not interrupt for other clients: some 300 µs."""
RETRY_PAUSE = 0.25
"""Seconds before a reader's page is read again after Redis did not answer."""


class RedisStore(LuaStore):
    """Keeps logs in Redis: `redis://`, `rediss://`, `unix://`, `redis+cluster://` or `rediss+cluster://`.

    Nothing is connected before the first call. Use it from one event loop. Leases, ages and TTLs run on the clock of
    Redis. A test may give a `clock`; its difference from this machine's is then added to ages and TTLs.

    In a cluster a name and the logs bound to it must begin with the same `TAG` bytes, as `log_id` arranges. Others are
    refused, because no server could change both in one step. There `check` asks one of the servers.
    """

    def __init__(
        self,
        url: str,
        limits: Limits | None = None,
        clock: Callable[[], float] | None = None,
        *,
        times: RedisTimes | None = None,
        connections: int = CONNECTIONS,
    ) -> None:
        self._times = times or RedisTimes()
        self._client = RedisClient(url, self._times, connections)
        super().__init__(limits or LIMITS, self._client.run, clock)
        self.flush = Flush()
        self._tailer = RedisTailer(self._client.connect, self._look, self.limits.lease, self._times)
        self._mark = 3 * self._tailer.pace  # seconds for which a reader's mark lasts; every look renews it

    async def claim(self, name: str, log: str, principal: Principal, *, ttl: float, terms: Terms = NO_TERMS) -> Claim:
        self._check_tags(log, name, terms.binds)
        return await self._steps.claim(name, log, principal, ttl, terms)

    async def open(
        self, log: str, principal: Principal, *, ttl: float, name: str | None = None, recovery: bytes | None = None
    ) -> Lease:
        self._check_tags(log, name)
        await self._steps.open(log, principal, ttl, name, recovery)
        return Lease(log)

    async def append(self, entries: Sequence[Entry], lease: Lease) -> Receipt:
        standing = await self._steps.append(packed(entries), lease)
        return Receipt(standing.stop, standing.readers)

    async def seal(self, entries: Sequence[Entry], lease: Lease) -> None:
        ending = entries[-1].event
        assert isinstance(ending, Ending)
        await self._steps.seal(packed(entries), ending, lease)

    async def read(
        self, log: str, after: Offset = ORIGIN, *, follow: bool = True
    ) -> AsyncGenerator[Sequence[Entry], None]:
        mark = self._mark if follow else 0
        with self._tailer.waiter(log) as waiter:
            page = await self._steps.read(log, after, mark)
            while True:
                check_offset(after, page.state, page.epoch, page.end)
                for part in page.parts():
                    yield part
                    after = part[-1].offset
                    if isinstance(part[-1].event, Ending):
                        return
                if after.sequence >= page.last or not page.entries:
                    if page.state != "open" or not follow:
                        return
                    self._tailer.follow(log, waiter)
                    await waiter.wait(page.last)
                page = await self._next(log, after, mark, waiter)

    async def stop(self, log: str, subject: str) -> bool:
        stopping = await self._steps.stop(log, subject)
        if stopping:
            self._tailer.wake_writer(log)
        return stopping

    def listen(self, lease: Lease, wake: Callable[[], None]) -> Callable[[], None]:
        return self._tailer.listen(lease.log, wake)

    async def release(self, lease: Lease) -> None:
        await self._steps.release(lease)

    async def take_over(self, entries: Sequence[Entry], log: str) -> Lease:
        lease = Lease(log, entries[0].offset.epoch)
        await self._steps.take_over(packed(entries), entries[-1].event, lease)
        return lease

    async def forget(self, log: str) -> None:
        await self._steps.forget(log)

    async def check(self) -> None:
        await self._steps.check()

    async def aclose(self) -> None:
        self._client.refuse()  # first, because the tailer wakes the readers, who must find the store closed
        await self._tailer.aclose()
        await self._client.aclose()
        await asyncio.sleep(0)  # a socket that was closed while in use is released in the next loop iteration

    async def _next(self, log: str, after: Offset, mark: float, waiter: Waiter) -> Page:
        """The next page for a reader that has begun: a Redis that is away for a moment does not end the answer."""
        give_up = time.monotonic() + self._times.unreachable_after
        while True:
            waiter.begin()
            try:
                return await self._steps.read(log, after, mark)
            except NoSuchLog as error:
                raise Torn.of(log) from error
            except Unanswered:
                if time.monotonic() > give_up:
                    raise
                await asyncio.sleep(RETRY_PAUSE)

    async def _look(self, logs: Sequence[tuple[str, bool]]) -> list[Sight | BaseException]:
        """How many logs stand, in as few scripts as possible; a script that fails does so for its own logs only.

        On a single server a script looks at a hundred logs, in a cluster at those with the same tag.
        """
        places: dict[bytes, list[tuple[str, bool]]] = {}
        for each in logs:
            places.setdefault(tag(each[0]) if self._client.clustered else b"", []).append(each)
        parts = [place[i : i + LOGS_PER_LOOK] for place in places.values() for i in range(0, len(place), LOGS_PER_LOOK)]
        looks = (self._steps.watch(part, self._mark) for part in parts)
        found: dict[str, Sight | BaseException] = {}
        for part, sights in zip(parts, await asyncio.gather(*looks, return_exceptions=True), strict=True):
            each = [sights] * len(part) if isinstance(sights, BaseException) else sights
            found.update(zip([log for log, _ in part], each, strict=True))
        return [found[log] for log, _ in logs]

    def _check_tags(self, log: str, *names: str | None) -> None:
        if self._client.clustered and any(tag(each) != tag(log) for name in names if name for each in names_in(name)):
            raise StoreError(f"in a Redis cluster log {log} and its names must begin with the same {TAG} bytes")
