"""Renewals: a stored answer that is stale, or is asked for often shortly before, is generated anew under its key.

The stored answer keeps its name until the new one is whole, so a renewal that fails takes nothing away. Requests and
servers that want the same renewal share one, because it is claimed in the store. Whoever asks reads either log, as any
reader does: the stored one at once, or the new one, or the stored one once the new one has failed before its first
output.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextlib import aclosing
from typing import NamedTuple

import msgspec

from headwater.answers.claim import Claims, Wanted
from headwater.answers.pins import Pins
from headwater.errors import HeadwaterError
from headwater.events import Error, Metadata, Start
from headwater.log.logs import Logs
from headwater.log.store import Claim

PATIENCE = 15.0
"""Seconds after which a model that has said nothing counts as failed where a stale answer may take its place; the
renewal goes on. As long as a status line waits for a retry (`web.response.Pace`), so that proxies stay patient."""
AT_ONCE = 32
"""Renewals in the background at the same time in this process: more wait for a later request."""
POPULAR = 3
"""Requests in the last `Caching.refresh` seconds of an answer's TTL, in this process, that make it popular."""
COUNTED = 4096
"""Answers whose requests are counted at most."""


class Met(NamedTuple):
    """The log that answers a request, and why, in the words of RFC 9211."""

    claim: Claim
    fwd: str = "miss"
    detail: str = ""
    failed: int = 0
    """The status of the generation in whose place a stored answer is delivered."""


class Renewals:
    """Finds the log that answers a request. `begin` starts the producer of a claimed renewal."""

    def __init__(
        self, claims: Claims, pins: Pins, logs: Callable[[], Logs], begin: Callable[[Wanted, Claim], None]
    ) -> None:
        self._claims = claims
        self._pins = pins
        self._logs = logs
        self._begin = begin
        self._asked: OrderedDict[str, int] = OrderedDict()
        self._running: set[str] = set()

    async def meet(self, wanted: Wanted) -> Met:
        """The log to deliver: of a pin, of the cache, or a new one. Raises `NotCached` or `StoreError`."""
        if (pinned := await self._pins.met(wanted)) is not None:
            return Met(pinned, detail="pinned")
        claim, fwd = await self._claims.claim(self._logs().store, wanted)
        return Met(claim, fwd) if claim.state == "open" else await self._stored(wanted, claim)

    async def _stored(self, wanted: Wanted, found: Claim) -> Met:
        """What to deliver where an answer is stored; renews it where that is due."""
        max_age, stale = wanted.directives.max_age, self._claims.stale(wanted)
        over = -found.ttl if max_age is None else max(-found.ttl, found.age - max_age)
        if over < 0:
            if found.ttl <= self._claims.refresh and self._becomes_popular(found.log):
                await self._renew_aside(wanted, found)
            return Met(found)
        if wanted.directives.only_if_cached or over <= max(stale.accepted, stale.renewed):
            if not wanted.directives.only_if_cached and over <= stale.renewed:
                await self._renew_aside(wanted, found)
            return Met(found, detail="stale")
        renewal = await self._renew(wanted, found)
        failed = await self._failure(renewal.log) if renewal.state == "open" else 0
        return Met(found, "stale", "stale-if-error", failed) if failed else Met(renewal, "stale")

    def ended(self, log: str) -> None:
        """Note that a producer of this process has ended."""
        self._running.discard(log)

    async def _renew(self, wanted: Wanted, found: Claim) -> Claim:
        renewal = await self._claims.renew(self._logs().store, wanted, found.age)
        if renewal.lease is not None:
            self._begin(msgspec.structs.replace(wanted, leaves=False), renewal)
        return renewal

    async def _renew_aside(self, wanted: Wanted, found: Claim) -> None:
        if len(self._running) < AT_ONCE and (renewal := await self._renew(wanted, found)).lease is not None:
            self._running.add(renewal.log)

    def _becomes_popular(self, log: str) -> bool:
        """Count a request; whether it is the one that makes the answer popular, so that one renewal is claimed here."""
        self._asked[log] = count = self._asked.pop(log, 0) + 1
        if len(self._asked) > COUNTED:
            self._asked.popitem(last=False)
        return count == POPULAR

    async def _failure(self, log: str) -> int:
        """The status of a generation that fails before its first output, as a server or by its silence; else 0."""
        try:
            async with asyncio.timeout(PATIENCE), aclosing(self._logs().read(log)) as pages:
                async for page in pages:
                    match next((each.event for each in page if not isinstance(each.event, Start | Metadata)), None):
                        case None:
                            pass
                        case Error(status=status) if status >= 500 or status == 429:
                            return status
                        case _:
                            return 0
        except TimeoutError:
            return 504
        except HeadwaterError as error:
            return error.status
        return 0
