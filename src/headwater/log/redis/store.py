"""The store for many machines: Redis 7 or Valkey 8 and newer, alone or as a cluster, without modules.

Each step of the contract is one Lua script (`lua/`, typed in `redis_steps.py`), so it happens whole or not at all and
takes one round trip. A log is a Redis stream, a hash and a lease; `lua/log.lua` says which keys there are. Every key
always has a TTL. What Redis loses, by a restart without persistence, a failover or an eviction, is missed when it is
next looked for: the log is gone or torn, or lost with its lease; its writer is fenced off, its readers get an error.
How much can be lost is for Redis to say: `appendonly yes`, and a `maxmemory-policy` of `noeviction`, lose least.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence

from headwater.errors import Expired, NoSuchLog, StoreError
from headwater.events import Ending, Entry
from headwater.log.lua.script import tag
from headwater.log.lua.steps import Page, Sight, Steps
from headwater.log.packs import packed
from headwater.log.redis.client import RedisClient, Unanswered
from headwater.log.redis.tailer import PATIENCE, RedisTailer
from headwater.log.shared import Shared
from headwater.log.store import Claim, Description, Flush, Lease, Limits, Receipt, check_offset
from headwater.log.watchers import Waiter
from headwater.offsets import ORIGIN, TAG, Offset
from headwater.principal import Principal

TOGETHER = 100
"""Logs looked at in one script, which nobody else's may interrupt: some 300 µs."""


class RedisStore:
    """Keeps logs in Redis: `redis://`, `rediss://`, `unix://`, `redis+cluster://` or `rediss+cluster://`.

    Nothing is connected before the first call. Use it from one event loop. Leases run on the clock of Redis, and so do
    ages and TTLs, unless a test gives a `clock`: its difference from this machine's is then added to the time of Redis.

    In a cluster a name and the logs bound to it must begin with the same `TAG` bytes, as `log_id` arranges. Others are
    refused, because no server could change both in one step.
    """

    def __init__(self, url: str, limits: Limits | None = None, clock: Callable[[], float] | None = None) -> None:
        self.limits = limits or Limits()
        self.flush = Flush()
        self._client = RedisClient(url)
        self._steps = Steps(self._client.run, self.limits, lambda: 0.0 if clock is None else clock() - time.time())
        self._tailer = RedisTailer(self._client.connect, self._look, self.limits.lease)
        self._mark = 3 * self._tailer.pace  # seconds that a reader counts for one; it says so again at every look
        self._pages: Shared[Page] = Shared()

    async def claim(
        self,
        name: str,
        log: str,
        principal: Principal,
        *,
        ttl: float,
        newer_than: float | None = None,
        binds: str | None = None,
    ) -> Claim:
        self._together(log, name, binds)
        return await self._steps.claim(name, log, principal, ttl, newer_than, binds)

    async def find(self, name: str, principal: Principal, *, newer_than: float | None = None) -> Claim | None:
        return await self._steps.find(name, principal, newer_than)

    async def open(self, log: str, principal: Principal, *, ttl: float, name: str | None = None) -> Lease:
        self._together(log, name)
        await self._steps.open(log, principal, ttl, name)
        return Lease(log)

    async def append(self, entries: Sequence[Entry], lease: Lease) -> Receipt:
        standing = await self._steps.append(packed(entries), lease)
        return Receipt(standing.stop)

    async def seal(self, entries: Sequence[Entry], lease: Lease) -> None:
        ending = entries[-1].event
        assert isinstance(ending, Ending)
        await self._steps.seal(packed(entries), ending, lease)

    async def read(
        self, log: str, after: Offset = ORIGIN, *, follow: bool = True
    ) -> AsyncGenerator[Sequence[Entry], None]:
        with self._tailer.waiter(log) as waiter:
            page = await self._steps.read(log, after, self._mark if follow else 0)
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
                page = await self._next(log, after, waiter)

    async def stop(self, log: str, subject: str) -> bool:
        asked = await self._steps.stop(log, subject)
        if asked:
            self._tailer.wake_writer(log)
        return asked

    def listen(self, lease: Lease, wake: Callable[[], None]) -> Callable[[], None]:
        return self._tailer.listen(lease.log, wake)

    async def describe(self, log: str) -> Description:
        return await self._steps.describe(log)

    async def forget(self, log: str) -> None:
        await self._steps.forget(log)

    async def constant(self, name: str, value: bytes) -> bytes:
        return await self._steps.constant(name, value)

    async def check(self) -> None:
        await self._steps.check()

    async def aclose(self) -> None:
        self._client.refuse()  # first, for the tailer wakes the readers, who are to find the store closed
        await self._tailer.aclose()
        await self._client.aclose()
        await asyncio.sleep(0)  # a socket that was closed in the middle of something is let go in the loop's next turn

    async def _next(self, log: str, after: Offset, waiter: Waiter) -> Page:
        """The next page for a reader who has begun: a Redis that is away for a moment does not end the answer."""
        give_up = time.monotonic() + PATIENCE
        while True:
            waiter.begin()
            try:
                # Shared by all readers who are woken by the same news at the same place.
                about = (log, after, self._tailer.wakeups)
                return await self._pages.ask(about, lambda: self._steps.read(log, after, self._mark))
            except NoSuchLog as error:
                raise Expired.torn(log) from error
            except Unanswered:
                if time.monotonic() > give_up:
                    raise
                await asyncio.sleep(0.25)

    async def _look(self, logs: Sequence[tuple[str, bool]]) -> list[Sight | BaseException]:
        """How many logs stand, in as few steps as there are places that one script can see; a failure is for its own.

        On a single server that is a hundred logs at a time, in a cluster those whose ids begin alike.
        """
        places: dict[bytes, list[tuple[str, bool]]] = {}
        for each in logs:
            places.setdefault(tag(each[0]) if self._client.clustered else b"", []).append(each)
        parts = [place[i : i + TOGETHER] for place in places.values() for i in range(0, len(place), TOGETHER)]
        looks = (self._steps.watch(part, self._mark) for part in parts)
        found: dict[str, Sight | BaseException] = {}
        for part, sights in zip(parts, await asyncio.gather(*looks, return_exceptions=True), strict=True):
            each = [sights] * len(part) if isinstance(sights, BaseException) else sights
            found.update(zip([log for log, _ in part], each, strict=True))
        return [found[log] for log, _ in logs]

    def _together(self, log: str, *names: str | None) -> None:
        if self._client.clustered and any(name is not None and tag(name) != tag(log) for name in names):
            raise StoreError(f"in a Redis cluster log {log} and its names must begin with the same {TAG} bytes")
