"""The Upstash store: the keys and steps of the Redis store, over Upstash's REST API.

For hosts that forbid long-lived connections. Elsewhere prefer `rediss://` to the same database: it pushes, this store
polls. Every command is billed, and those inside a script like any others. So writers gather entries for a second and
append by one plain command (`writer.py`). One poll per process follows all logs, by plain commands too (`poller.py`).
Nothing is sent while nothing is written or followed here.
"""

import asyncio
import base64
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from headwater.entries import Entry
from headwater.errors import StoreError
from headwater.events import Ending
from headwater.log.lua.script import Argument, Run, Script, key
from headwater.log.lua.steps import Steps, keys_of, keys_of_names
from headwater.log.lua.store import LuaStore
from headwater.log.packs import packed
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
from headwater.log.upstash.poller import UpstashPoller
from headwater.log.upstash.rest import CONNECTIONS, Reply, UpstashRest
from headwater.log.upstash.rest import Argument as Word
from headwater.log.upstash.times import UpstashTimes
from headwater.log.upstash.writer import EMPTY, UpstashWriter
from headwater.offsets import ORIGIN, Offset
from headwater.principal import Principal

READER_CONNECTIONS = CONNECTIONS // 2
"""Connections for the steps of readers and new requests; the others are for writers and the poll."""

_LOCKING = "#!lua flags=allow-key-locking\n"

_log = logging.getLogger(__name__)


class UpstashStore(LuaStore):
    """Keeps logs in an Upstash database, reached by its REST URL and token. Use it from one event loop.

    Nothing is sent before the first call. Leases, ages and TTLs run on the database's clock. A test may give a `clock`;
    its difference from this machine's is then added to ages and TTLs. Entries travel as the JSON text they are, and
    constants and recoveries, which may be any bytes, as base64. `limits.heartbeat` is at most `times.heartbeat` here.
    An append or a seal of more than one pack takes several steps, each of which is atomic.
    """

    def __init__(
        self,
        url: str,
        token: str,
        limits: Limits | None = None,
        clock: Callable[[], float] | None = None,
        *,
        times: UpstashTimes | None = None,
    ) -> None:
        limits, self._times = limits or Limits(), times or UpstashTimes()
        limits = msgspec.structs.replace(limits, heartbeat=min(limits.heartbeat, self._times.heartbeat))
        super().__init__(limits, self._run_queued, clock, run_alone=partial(self._run_locking, self._run_queued))
        self.flush = Flush(
            interval=self._times.flush,
            unread_interval=self._times.flush,
            events=4096,
            bytes=16 * 1024,
            tells_readers=False,
        )
        self.rest = UpstashRest(url, token, timeout=self._times.answer_within)
        self._permits = asyncio.Semaphore(READER_CONNECTIONS)
        # Those granted here, until their logs end or their writers leave.
        self._written: dict[Lease, UpstashWriter] = {}
        self._locking = _LOCKING
        self._poller = UpstashPoller(self._pipeline, self._steps, self.limits.lease, self._times)

    async def claim(self, name: str, log: str, principal: Principal, *, ttl: float, terms: Terms = NO_TERMS) -> Claim:
        terms = terms._replace(recovery=terms.recovery and self._encoded(terms.recovery))
        claim = await self._steps.claim(name, log, principal, ttl, terms)
        if claim.lease is not None:
            self._written[claim.lease] = self._new_writer(log, name, terms.binds)
        return claim

    async def open(
        self, log: str, principal: Principal, *, ttl: float, name: str | None = None, recovery: bytes | None = None
    ) -> Lease:
        await self._steps.open(log, principal, ttl, name, recovery and self._encoded(recovery))
        lease = Lease(log)
        self._written[lease] = self._new_writer(log, name)
        return lease

    async def append(self, entries: Sequence[Entry], lease: Lease) -> Receipt:
        receipt = await self._writer(lease).append(packed(entries), lease)
        if entries:
            self._poller.hurry(lease.log)
        return receipt

    async def seal(self, entries: Sequence[Entry], lease: Lease) -> None:
        ending = entries[-1].event
        assert isinstance(ending, Ending)
        await self._writer(lease).seal(packed(entries), ending, lease)
        self._written.pop(lease, None)
        self._poller.hurry(lease.log)

    async def read(
        self, log: str, after: Offset = ORIGIN, *, follow: bool = True
    ) -> AsyncGenerator[Sequence[Entry], None]:
        page = await self._steps.read(log, after)
        while True:
            check_offset(after, page.state, page.epoch, page.end)
            for part in page.parts():
                yield part
                after = part[-1].offset
                if isinstance(part[-1].event, Ending):
                    return
            if after < page.end:
                page = await self._steps.read(log, after)
            elif page.state != "open" or not follow:
                return
            else:
                page = await self._poller.follow(log, after, page)

    async def stop(self, log: str, subject: str) -> bool:
        stopping = await self._steps.stop(log, subject)
        if stopping:
            self._poller.watchers.wake_writer(log)
        return stopping

    def listen(self, lease: Lease, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` for a stop through this process; the writer's heartbeat learns of any other."""
        return self._poller.watchers.listen(lease.log, wake, lambda: self._written.pop(lease, None))

    async def release(self, lease: Lease) -> None:
        await self._steps.release(lease)
        self._written.pop(lease, None)
        self._poller.hurry(lease.log, doubt=True)

    async def take_over(self, entries: Sequence[Entry], log: str) -> Lease:
        lease = Lease(log, entries[0].offset.epoch)
        known = await self._steps.take_over(packed(entries), entries[-1].event, lease)
        if not isinstance(entries[-1].event, Ending):
            steps = Steps(self._eval, self.limits, self._skew)
            self._written[lease] = UpstashWriter(self._pipeline, steps, self.limits, self._times, known)
        self._poller.hurry(log)
        self._poller.watchers.wake_writer(log)
        return lease

    async def forget(self, log: str) -> None:
        await self._steps.forget(log)
        self._poller.hurry(log, doubt=True)
        self._poller.watchers.wake_writer(log)

    async def check(self) -> None:
        """Send one PING, which is billed as one command; a read-only token is found by the first write instead."""
        await self.rest.execute("PING")

    async def aclose(self) -> None:
        await self._poller.aclose()
        await self.rest.aclose()

    def _encoded(self, value: bytes) -> bytes:
        return base64.b64encode(value)

    def _decoded(self, value: bytes) -> bytes:
        return base64.b64decode(value)

    async def _run_queued(self, script: Script, keys: Sequence[bytes], arguments: Sequence[Argument]) -> Any:
        """Run a step that no writer waits for, when one of its connections is free: readers must not delay writers."""
        try:
            async with asyncio.timeout(self._times.queue_for):
                await self._permits.acquire()
        except TimeoutError as late:
            limit = self._times.queue_for
            raise StoreError(f"the store at Upstash is busy: no connection was free for {limit:g} s") from late
        try:
            return await self._eval(script, keys, arguments)
        finally:
            self._permits.release()

    async def _run_locking(self, run: Run, script: Script, keys: Sequence[bytes], arguments: Sequence[Argument]) -> Any:
        """Run a script that names all keys it uses, so that Upstash locks only these and not the whole database."""
        locking = script._replace(text=self._locking + script.text)
        try:
            return await run(locking, keys, arguments)
        except StoreError as refusal:
            if not self._locking or "allow-key-locking" not in str(refusal):
                raise
            _log.warning("Upstash will lock the whole database for every seal and document: %s", refusal)
            self._locking = ""
            return await run(script, keys, arguments)

    async def _eval(self, script: Script, keys: Sequence[bytes], arguments: Sequence[Argument]) -> Any:
        return await self.rest.eval(script.text, keys, arguments)

    async def _pipeline(self, commands: Sequence[Sequence[Word]]) -> "list[Reply | StoreError]":
        return await self.rest.pipeline(commands)

    def _writer(self, lease: Lease) -> UpstashWriter:
        """The writer made when the log was opened here, else one that does not know how the log stands."""
        made = self._written.get(lease)
        return made or UpstashWriter(self._pipeline, self._steps, self.limits, self._times, known=None)

    def _new_writer(self, log: str, *names: str | None) -> UpstashWriter:
        """A writer whose scripts name all keys they use.

        Other steps may meet a lapsed log with names that are not known beforehand, so they lock the database.
        """
        known = [*keys_of(log), key("recovery", log), *(each for name in names if name for each in keys_of_names(name))]

        async def run(script: Script, _: Sequence[bytes], arguments: Sequence[Argument]) -> Any:
            return await self._run_locking(self._eval, script, known, arguments)

        steps = Steps(run, self.limits, self._skew)
        return UpstashWriter(self._pipeline, steps, self.limits, self._times, known=EMPTY)
