"""Renewals: a stored answer that is stale, or is asked for often shortly before, is generated anew under its key.

The stored answer keeps its name until the new one is whole, so a renewal that fails takes nothing away. Requests and
servers that want the same renewal share one, because it is claimed in the store. Whoever asks reads either log, as any
reader does: the stored one at once, or the new one, or the stored one once the new one has failed before its first
output.
"""

import asyncio
import logging
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import NamedTuple

import msgspec

from headwater.answers.admission import Admitted
from headwater.answers.claim import Claims, Wanted
from headwater.cache.policy import cache_status
from headwater.errors import HeadwaterError
from headwater.events import Cached, Error, Metadata, Start
from headwater.log.logs import Logs
from headwater.log.store import Claim
from headwater.observe import Outcome

logger = logging.getLogger(__name__)

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
    begun: bool = False
    """Whether the log's producer has been started."""

    @property
    def status(self) -> str:
        """The `Cache-Status`."""
        claim = self.claim
        live = claim.state == "open"
        detail = self.detail or ("form" if claim.place else "")
        return cache_status(claim.won, live, claim.ttl, fwd=self.fwd, detail=detail, failed=self.failed)

    @property
    def cached(self) -> Cached | None:
        """What a reader is told of the cache; an empty `matched` stands for the question in the log."""
        claim, matched = self.claim, "" if self.claim.place else None
        if claim.won:
            return None
        live = claim.state == "open"
        return Cached("joined", matched=matched) if live else Cached("hit", int(claim.age), matched=matched)

    @property
    def outcome(self) -> Outcome:
        """What observers are told."""
        if not self.claim.won:
            return "joined" if self.claim.state == "open" else "hit"
        return "miss" if self.fwd in ("miss", "stale") else "bypass"


class Renewals:
    """Renews stored answers. `claim` claims a log, if the tenant's limits allow it, and `begin` starts its producer."""

    def __init__(
        self,
        claims: Claims,
        claim: Callable[[Wanted], Awaitable[Admitted]],
        logs: Callable[[], Logs],
        begin: Callable[[Wanted, Claim, Outcome], None],
    ) -> None:
        self._claims = claims
        self._claim = claim
        self._logs = logs
        self._begin = begin
        self._asked: OrderedDict[str, int] = OrderedDict()
        self._running: set[str] = set()

    async def met(self, wanted: Wanted, found: Claim, fwd: str) -> Met:
        """What to deliver where a claim has `found` this log; renews the answer where that is due."""
        directives, stale = wanted.directives, self._claims.stale(wanted)
        if found.state == "open" or found.ttl == math.inf:
            return Met(found, fwd, "" if found.state == "open" else "pinned")
        over = -found.ttl if directives.max_age is None else max(-found.ttl, found.age - directives.max_age)
        if over < 0:
            if found.ttl <= self._claims.refresh and not directives.only_if_cached and self._grows_popular(found.log):
                await self._renew_aside(wanted, found)
            return Met(found)
        if directives.only_if_cached:
            return Met(found, detail="stale")
        if over <= max(stale.accepted, stale.renewed):
            if over <= stale.renewed:
                await self._renew_aside(wanted, found)
            return Met(found, detail="stale")
        try:
            renewal = await self._renew(wanted, found)
            failed = await self._failure(renewal.log) if renewal.state == "open" else 0
        except HeadwaterError as error:  # such as a tenant's limit, or this server's
            if not _passes(error.status):
                raise
            renewal, failed = found, error.status
        return Met(found, "stale", "stale-if-error", failed) if failed else Met(renewal, "stale", begun=True)

    def ended(self, log: str) -> None:
        """Note that a producer of this process has ended."""
        self._running.discard(log)

    async def _renew(self, wanted: Wanted, found: Claim) -> Claim:
        """Claim the renewal, and start its producer if that is ours: it goes on without readers."""
        wanted = msgspec.structs.replace(wanted, leaves=False, renews=found.age)
        renewal = (await self._claim(wanted)).claim
        if renewal.lease is not None:
            self._begin(wanted, renewal, "renewal")
        return renewal

    async def _renew_aside(self, wanted: Wanted, found: Claim) -> None:
        if len(self._running) >= AT_ONCE:
            return
        try:
            if (renewal := await self._renew(wanted, found)).lease is not None:
                self._running.add(renewal.log)
        except HeadwaterError as error:
            logger.info("answer %s is not renewed now: %s", found.log, error)

    def _grows_popular(self, log: str) -> bool:
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
                        case Error(status=status) if _passes(status):
                            return status
                        case _:
                            return 0
        except TimeoutError:
            return 504
        except HeadwaterError as error:
            return error.status
        return 0


def _passes(status: int) -> bool:
    """Whether a failure is the provider's or a server's, and may pass."""
    return status >= 500 or status == 429
