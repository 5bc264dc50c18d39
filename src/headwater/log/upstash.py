"""The Upstash store: the steps of the Redis store, each sent as one `EVAL` over Upstash's REST API.

For a host that lets no process hold a connection; where one may, `rediss://` to the same database tells readers at once
what this one has to ask for. Every command is billed, so writers gather entries for a second, a log is followed by one
poll per process (`upstash_poller.py`), and nothing at all is sent while nothing is written or followed here.
"""

import base64
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from headwater.errors import OutOfSequence, Sealed, StoreError
from headwater.events import Ending, Entry
from headwater.log.redis_script import Argument, Script, key
from headwater.log.redis_steps import Steps
from headwater.log.store import Claim, Description, Flush, Lease, Limits, Receipt, check_offset
from headwater.log.upstash_poller import MARK, UpstashPoller
from headwater.log.upstash_rest import MAX_REQUEST, TooLarge, UpstashRest
from headwater.offsets import ORIGIN, Offset
from headwater.principal import Principal

HEARTBEAT = 1.0
"""Seconds after which a silent writer asks whether to stop: the longest that a stop takes, but for the way."""
CHUNK = MAX_REQUEST * 3 // 4
"""Bytes of entries in one request, as JSON text; the rest is room for the script."""

_LOCKING = "#!lua flags=allow-key-locking\n"
_COUNT = 9
"""Where `lua/read.lua` has the number of entries in a page among its arguments."""

_log = logging.getLogger(__name__)


class UpstashStore:
    """Keeps logs in an Upstash database, reached by its REST URL and token. Use it from one event loop.

    Nothing is sent before the first call. Leases run on the database's clock, and so do ages and TTLs, unless a test
    gives a `clock`: its difference from this machine's is then added. Entries are JSON and travel as the text they are;
    constants, which may be any bytes, as base64. `limits.heartbeat` is at most a second here. An append or a seal of
    more than `CHUNK` goes in several steps, each of which happens whole or not at all.
    """

    def __init__(
        self, url: str, token: str, limits: Limits | None = None, clock: Callable[[], float] | None = None
    ) -> None:
        limits = limits or Limits()
        self.limits = msgspec.structs.replace(limits, heartbeat=min(limits.heartbeat, HEARTBEAT))
        self.flush = Flush(interval=1.0, events=4096, bytes=16 * 1024)
        self.rest = UpstashRest(url, token)
        self._skew = lambda: 0.0 if clock is None else clock() - time.time()
        self._steps = Steps(self._run, self.limits, self._skew)
        self._written: dict[str, Steps] = {}  # by the logs opened here, until their writers leave
        self._locking = _LOCKING
        self._poller = UpstashPoller(self._steps, self.limits.lease, self.limits.heartbeat)

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
        claim = await self._steps.claim(name, log, principal, ttl, newer_than, binds)
        if claim.won:
            self._written[log] = self._steps_of_writer(log, name, binds)
        return claim

    async def find(self, name: str, principal: Principal, *, newer_than: float | None = None) -> Claim | None:
        return await self._steps.find(name, principal, newer_than)

    async def open(self, log: str, principal: Principal, *, ttl: float, name: str | None = None) -> Lease:
        await self._steps.open(log, principal, ttl, name)
        self._written[log] = self._steps_of_writer(log, name)
        return Lease(log)

    async def append(self, entries: Sequence[Entry], lease: Lease) -> Receipt:
        steps = self._written.get(lease.log, self._steps)
        receipt = Receipt()
        for chunk in _chunks(entries):
            receipt = await steps.append(chunk, lease)
        self._poller.heard(lease.log)
        if entries:
            self._poller.hurry(lease.log)
        return receipt

    async def seal(self, entries: Sequence[Entry], lease: Lease) -> None:
        steps = self._written.get(lease.log, self._steps)
        *before, last = _chunks(entries)
        for chunk in before:
            try:
                await steps.append(chunk, lease)
            except Sealed:
                break  # perhaps by this very seal, retried: the last step knows
        await steps.seal(last, lease)
        self._poller.hurry(lease.log)

    async def read(
        self, log: str, after: Offset = ORIGIN, *, follow: bool = True
    ) -> AsyncGenerator[Sequence[Entry], None]:
        page = await self._steps.read(log, after, MARK if follow else 0)
        while True:
            check_offset(after, page.state, page.epoch, page.end)
            if page.entries:
                yield page.entries
                after = page.entries[-1].offset
                if isinstance(page.entries[-1].event, Ending):
                    return
            if after < page.end:
                page = await self._steps.read(log, after, MARK if follow else 0)
            elif page.state != "open" or not follow:
                return
            else:
                page = await self._poller.follow(log, after)

    async def stop(self, log: str, subject: str) -> bool:
        ending = await self._steps.stop(log, subject)
        if ending:
            self._poller.wake(log)
        return ending

    def listen(self, lease: Lease, wake: Callable[[], None]) -> Callable[[], None]:
        cease = self._poller.listen(lease.log, wake)

        def leave() -> None:
            cease()
            self._written.pop(lease.log, None)

        return leave

    async def describe(self, log: str) -> Description:
        return await self._steps.describe(log)

    async def forget(self, log: str) -> None:
        await self._steps.forget(log)
        self._poller.hurry(log)
        self._poller.wake(log)

    async def constant(self, name: str, value: bytes) -> bytes:
        return base64.b64decode(await self._steps.constant(name, base64.b64encode(value)))

    async def aclose(self) -> None:
        await self._poller.aclose()
        await self.rest.aclose()

    async def _run(self, script: Script, keys: Sequence[bytes], arguments: Sequence[Argument]) -> Any:
        words = [_text(each) for each in arguments]
        while True:
            try:
                return await self.rest.eval(script.text, [_text(each) for each in keys], words)
            except TooLarge:
                # The answer, for no step that only asks is large itself: a page of large entries. Fewer, then.
                if script.name != "read" or words[_COUNT] == "1":
                    raise
                words[_COUNT] = str(max(int(words[_COUNT]) // 8, 1))

    def _steps_of_writer(self, log: str, *names: str | None) -> Steps:
        """The steps of a writer of which all keys are known: they lock these keys alone, not the whole database.

        Other steps may come upon a lapsed log and its names, which nobody here knows beforehand.
        """
        known = [key("log", log), key("entries", log), *(key("name", name) for name in names if name)]

        async def run(script: Script, keys: Sequence[bytes], arguments: Sequence[Argument]) -> Any:
            if not self._locking:
                return await self._run(script, keys, arguments)
            locking = Script(script.name, self._locking + script.text, script.digest)
            try:
                return await self._run(locking, known, arguments)
            except StoreError as refusal:
                if "allow-key-locking" not in str(refusal):
                    raise
                _log.warning("Upstash will lock the whole database for every append: %s", refusal)
                self._locking = ""
                return await self._run(script, keys, arguments)

        return Steps(run, self.limits, self._skew)


def _text(argument: Argument) -> str:
    # Half of a surrogate pair, from a stranger's URL, is part of no id that exists, and cannot be sent.
    return argument.decode("utf-8", "replace") if isinstance(argument, bytes) else str(argument)


def _chunks(entries: Sequence[Entry]) -> list[Sequence[Entry]]:
    """The entries in runs that each fit into a request; always at least one, be it empty."""
    if any(after.offset.sequence != before.offset.sequence + 1 for before, after in pairwise(entries)):
        raise OutOfSequence(f"entries {entries[0].offset} to {entries[-1].offset} leave a gap")
    chunks: list[list[Entry]] = [[]]
    room = CHUNK
    for entry in entries:
        size = len(entry.data) + entry.data.count(b'"') + entry.data.count(b"\\") + 8
        if size > room and chunks[-1]:
            chunks.append([])
            room = CHUNK
        chunks[-1].append(entry)
        room -= size
    return list(chunks)
