"""Writes one log over Upstash: an append is one plain command, and a script only when Redis refuses that command.

Upstash bills the commands inside a script like any others, and an append by script is six. So a writer that knows where
its log ends adds the next pack there by itself. Redis refuses the pack when the log ends elsewhere, for one of three
reasons: the same pack is stored already and its reply was lost, another process has sealed the log, or a stop was
requested. The script then finds out which. A silent writer renews its lease, and the reply says whether to stop.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from headwater.errors import Sealed, StoreError
from headwater.events import Ending
from headwater.log.lua.script import key
from headwater.log.lua.steps import Standing, Steps, stop_of
from headwater.log.packs import Pack
from headwater.log.store import Lease, Limits, Receipt
from headwater.log.upstash.rest import Argument, Reply
from headwater.log.upstash.times import UpstashTimes

EMPTY = Standing(None, series=1, last=0, size=0, packs=1)
"""State of a newly opened log. If an earlier attempt to open it already wrote to it, Redis refuses our first append and
the script takes over."""

Pipeline = Callable[[Sequence[Sequence[Argument]]], Awaitable["list[Reply | StoreError]"]]


class UpstashWriter:
    """Appends to one log with one lease. `known` is how the log stands; without it `steps` find that out."""

    def __init__(
        self, pipeline: Pipeline, steps: Steps, limits: Limits, times: UpstashTimes, known: Standing | None
    ) -> None:
        self._pipeline = pipeline
        self._steps = steps
        self._limits = limits
        self._times = times
        self._known = known
        self._lease_renewed = self._ttls_renewed = time.monotonic()

    async def append(self, packs: Sequence[Pack], lease: Lease) -> Receipt:
        """Add the next packs and keep the lease alive. Raises as `Store.append` does."""
        stop = None
        for pack in packs or [None]:
            begin = time.monotonic()
            standing = await self._add(pack, lease, begin)
            if standing is None:
                self._known = None
                standing = await self._steps.append([] if pack is None else [pack], lease)
                self._lease_renewed = self._ttls_renewed = begin
            self._known, stop = standing, standing.stop
        return Receipt(stop)

    async def seal(self, packs: Sequence[Pack], ending: Ending, lease: Lease) -> None:
        """Add the last packs and close the log. Raises as `Store.seal` does."""
        *before, last = packs
        if before:
            with suppress(Sealed):  # perhaps by this very seal, retried: the last step finds out
                await self.append(before, lease)
        self._known = None
        await self._steps.seal([last], ending, lease)

    async def _add(self, pack: Pack | None, lease: Lease, now: float) -> Standing | None:
        """How the log stands after it took the pack as the next one, or None when the script must find out."""
        known = self._known
        if known is None or now - self._ttls_renewed > self._times.renew_ttls:
            return None
        commands: list[Sequence[Argument]] = []
        if pack is not None:
            if pack.first != known.last + 1:
                return None
            place = f"{known.series}-{pack.first}"
            known = known._replace(last=pack.last, size=known.size + pack.size, packs=known.packs + 1)
            if known.last > self._limits.entries or known.size > self._limits.bytes:
                return None
            fields = {"l": known.last, "e": lease.epoch, "n": known.packs - 1, "s": known.size, "d": pack.data}
            words = [word for field in fields.items() for word in field]
            commands.append(["XADD", key("packs", lease.log), "NOMKSTREAM", place, *words])
        renews = pack is None or now - self._lease_renewed >= min(self._times.renew_lease, self._limits.lease / 2)
        if renews:
            commands.append(["GETEX", key("lease", lease.log), "PX", round(self._limits.lease * 1000)])
        replies = await self._pipeline(commands)
        if not all(isinstance(reply, bytes) for reply in replies):
            return None
        if renews:
            assert isinstance(replies[-1], bytes)
            self._lease_renewed = now
            known = known._replace(stop=stop_of(replies[-1]))
        return known
