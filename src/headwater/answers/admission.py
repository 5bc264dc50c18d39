"""Admission: whether a request is answered, and whether a new answer may be generated for it.

Every request passes here, whatever its dialect, before its log is claimed. A request is counted first. One whose tenant
has used up its tokens, money or slots, or that finds this process at its capacity, may still have what is there: it is
answered from the cache, or joins a running answer. Only what would begin a new answer is refused.

A slot belongs to a run, which is the last part of a log's id. So whoever goes on with a dead server's answer holds that
server's slot on. A slot is given back, and the answer is charged, before the answer's ending is stored. So a client
that has read the ending and asks again finds the slot free.

Without limits a request costs nothing here.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from headwater.answers.claim import Claims, Wanted
from headwater.answers.nursery import Nursery
from headwater.answers.quota import REQUESTS, Allowance, Quota, tokens_of
from headwater.errors import AtCapacity, NotCached, OverLimit, PromptTooLarge, StoreError
from headwater.events import Ending, Finish
from headwater.log.counters import Count, Slots
from headwater.log.store import Claim, Store
from headwater.log.writer import Writer
from headwater.observe import Request
from headwater.offsets import run_of
from headwater.prompt import Prompt

logger = logging.getLogger(__name__)

HELD = 60.0
"""Seconds for which a slot is held without a renewal: so long after its server's death it is free."""
TOGETHER = 1000
"""Slots that are renewed in one step."""
CHARGED_WITHIN = 2.0
"""Seconds for which an ending waits until the answer is charged."""
CLAIMED_WITHIN = 0.1
"""Seconds after which another server that has taken a slot has claimed its log, too, or will not."""
PAUSES = (0.2, 1.0, 3.0, 10.0, 20.0, 20.0, 0.0)
"""Seconds between attempts to count what a run has used, while the store fails: as long as its slot is held."""

Seal = Callable[[Ending], Coroutine[Any, Any, None]]
"""Stores the ending of a log."""


class Admitted(NamedTuple):
    """A claim that was allowed."""

    claim: Claim
    fwd: str
    fields: Mapping[str, str]
    """The header fields that tell the tenant's limits."""


class Admission:
    """Enforces what the operator allows. `running` counts the answers that are generated in this process."""

    def __init__(
        self, allowance: Allowance, claims: Claims, store: Callable[[], Store], running: Callable[[], int]
    ) -> None:
        self._allowance = allowance
        self._claims = claims
        self._store = store
        self._running = running
        self._claiming: set[asyncio.Future[None]] = set()  # of each new answer, until it is claimed
        self._held: set[tuple[str, str]] = set()  # the runs here that have slots, behind their tenants
        self._aside = Nursery("slots")

    async def claim(self, wanted: Wanted) -> Admitted:
        """The log that answers a request. Raises `PromptTooLarge`, `OverLimit`, `AtCapacity`, and as `Claims` does."""
        self._check(wanted.prompt)
        quota = self._allowance.of(wanted.principal.tenant)
        if quota is not None:
            return await self._within(quota, wanted)
        if not self._allowance.generations:
            return Admitted(*await self._claims.claim(self._store(), wanted), {})
        if (found := await self._there(wanted)) is not None:
            return Admitted(*found, {})
        try:
            with self._opening():
                return Admitted(*await self._claims.claim(self._store(), wanted), {})
        except AtCapacity:
            if (found := await self._begun(wanted)) is None:
                raise
            return Admitted(*found, {})

    def sealing(self, request: Request, writer: Writer) -> Seal:
        """What seals the log of an answer that is generated here; where something is counted, it charges it before."""
        quota = self._allowance.of(request.principal.tenant)
        return writer.seal if quota is None else partial(self._seal, quota, request, writer)

    async def take_over(self, request: Request) -> None:
        """Hold the slot of an answer that another server has begun, and never refuse it."""
        quota, tenant, run = self._allowance.of(request.principal.tenant), request.principal.tenant, run_of(request.log)
        if quota is not None and quota.generations:
            self._hold(tenant, run)
            await self._renew(tenant, [run])

    def leave(self, request: Request) -> None:
        """Renew the slot of an answer no more: it was given back, or is a successor's."""
        self._held.discard((request.principal.tenant, run_of(request.log)))

    async def aclose(self) -> None:
        """End what runs in the background."""
        self._held.clear()
        await self._aside.aclose()

    def _check(self, prompt: Prompt) -> None:
        allowed, messages = self._allowance, prompt.messages
        if 0 < allowed.messages < len(messages):
            raise PromptTooLarge(f"the request has {len(messages)} messages; at most {allowed.messages} may be sent")
        for number, message in enumerate(messages) if allowed.message else ():
            if (size := len(msgspec.json.encode(message))) > allowed.message:
                raise PromptTooLarge(f"message {number} has {size} bytes; at most {allowed.message} may be sent")

    async def _there(self, wanted: Wanted) -> tuple[Claim, str] | None:
        """What is there for a request, stored or running; None if only a new answer will do."""
        try:
            return await self._claims.claim(self._store(), msgspec.structs.replace(wanted, joins=True))
        except NotCached:
            if wanted.directives.only_if_cached:
                raise
            return None

    @contextmanager
    def _opening(self) -> Generator[None]:
        """Surrounds the claim of a new answer, which has no producer yet. Raises `AtCapacity`."""
        most = self._allowance.generations
        if 0 < most <= self._running() + len(self._claiming):
            raise AtCapacity(f"this server writes {most} answers, the most at once; ask again in a moment")
        claimed = asyncio.get_running_loop().create_future()
        self._claiming.add(claimed)
        try:
            yield
        finally:
            self._claiming.remove(claimed)
            claimed.set_result(None)

    async def _begun(self, wanted: Wanted, *, elsewhere: bool = False) -> tuple[Claim, str] | None:
        """What is there for a request that was refused: of equal ones at once, the first may have just begun it.

        With `elsewhere`, that one may be another server's.
        """
        if self._claiming:
            await asyncio.wait(self._claiming)
        found = await self._there(wanted)
        if found is None and elsewhere:
            await asyncio.sleep(CLAIMED_WITHIN)
            found = await self._there(wanted)
        return found

    async def _within(self, quota: Quota, wanted: Wanted) -> Admitted:
        """The log of a request whose tenant has a quota."""
        store, tenant = self._store(), wanted.principal.tenant
        counts = quota.asked(renews=wanted.renews is not None)
        taken = await store.take(tenant, counts, Slots((), HELD) if quota.generations else None)
        refusal, fields = quota.refusal(taken), quota.told(taken)
        if refusal is not None and taken.refused == REQUESTS:
            raise refusal
        if refusal is not None or self._allowance.generations or quota.generations:
            if (found := await self._there(wanted)) is not None:
                return Admitted(*found, fields)
            if refusal is not None:
                raise refusal
        try:
            with self._opening():
                if not quota.generations:
                    return Admitted(*await self._claims.claim(store, wanted), fields)
                run = self._claims.new_run()
                try:
                    held = await store.take(tenant, (), Slots([run], HELD, quota.generations))
                    taken = taken._replace(refused=held.refused, held=held.held)
                    if not taken.refused:
                        claim, fwd = await self._claims.claim(store, msgspec.structs.replace(wanted, run=run))
                        if claim.won:
                            self._hold(tenant, run)
                        else:  # another request for the same was faster
                            self._give_back(tenant, run)
                        return Admitted(claim, fwd, quota.told(taken))
                except BaseException:
                    self._give_back(tenant, run)
                    raise
            refusal = quota.refusal(taken)
            assert refusal is not None
            raise refusal
        except (AtCapacity, OverLimit) as error:
            if (found := await self._begun(wanted, elsewhere=isinstance(error, OverLimit))) is None:
                raise
            return Admitted(*found, quota.told(taken))

    async def _seal(self, quota: Quota, request: Request, writer: Writer, ending: Ending) -> None:
        """Charge an answer, give its slot back and seal its log; a log that was taken over is its successor's."""
        if not writer.fenced:
            tenant, run = request.principal.tenant, run_of(request.log)
            cost = ending.usage.cost if isinstance(ending, Finish) and ending.usage is not None else None
            counts = quota.charged(tokens_of(request.prompt, ending, writer.entries), cost or 0.0)
            self.leave(request)
            charge = self._count(tenant, run, counts, Slots([run], 0) if quota.generations else None)
            await asyncio.wait([self._aside.start(run, charge)], timeout=CHARGED_WITHIN)
        await writer.seal(ending)

    def _hold(self, tenant: str, run: str) -> None:
        self._held.add((tenant, run))
        if not self._aside.has("renewal"):
            self._aside.start("renewal", self._renew_all())

    def _give_back(self, tenant: str, run: str) -> None:
        """Give a slot back in the background: whoever asked is cancelled, or waits for an answer."""
        self._aside.start(run, self._count(tenant, run, (), Slots([run], 0)))

    async def _count(self, tenant: str, run: str, counts: Sequence[Count], slots: Slots | None) -> None:
        """Count what a run has used and give its slot back, again and again while the store fails."""
        for pause in PAUSES:
            try:
                await self._store().take(tenant, counts, slots)
                return
            except StoreError as error:
                logger.error("run %s of %s is not counted%s: %s", run, tenant, " yet" if pause else "", error)
            await asyncio.sleep(pause)

    async def _renew_all(self) -> None:
        while True:
            await asyncio.sleep(HELD / 3)
            for tenant, held in groupby(sorted(self._held), itemgetter(0)):
                runs = [run for _, run in held]
                for i in range(0, len(runs), TOGETHER):
                    await self._renew(tenant, runs[i : i + TOGETHER])

    async def _renew(self, tenant: str, runs: Sequence[str]) -> None:
        try:
            await self._store().take(tenant, (), Slots(runs, HELD))
        except StoreError as error:
            logger.warning("%d slots of %s are not renewed: %s", len(runs), tenant, error)
