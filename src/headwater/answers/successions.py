"""Successions: logs whose writers are gone are taken over here, so that their answers go on.

Whoever notices an abandoned log tells `found`, about once a second while it lasts. A task of its own then looks what
the log's recovery and entries allow: go on, end, or leave it to a server that has the model. The store lets one server
take over, and the seam is stored in the same step. So the seams in a log are the spent attempts, counted before the
model is asked: a question that kills its servers ends after a few of them.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import NamedTuple

from headwater.answer import fold
from headwater.answers import continuing, recovery
from headwater.answers.claim import Claims, Wanted
from headwater.answers.continuing import Continuing, lost
from headwater.answers.nursery import Nursery
from headwater.answers.recovery import Recovery
from headwater.entries import Entry, record
from headwater.errors import HeadwaterError, StoreError, UnknownModel
from headwater.events import Cached, Continued, Event, Start, Stop
from headwater.log.logs import Logs
from headwater.log.store import Abandoned, Lease
from headwater.models.catalogue import Catalogue, Offer
from headwater.models.model import RUN, Reattaches, prepared
from headwater.observe import Request
from headwater.offsets import Offset
from headwater.principal import LEAVES

logger = logging.getLogger(__name__)

AT_ONCE = 4
"""Logs that are taken over at the same time: a server's end leaves many, and their provider has a limit."""
STALE = 600.0
"""Seconds without an entry after which an answer is not gone on with: its server was away for too long."""
SPREAD = 0.05
"""Seconds at most by which a takeover is delayed at random, so that servers do not all try the same log."""


class Beginning(NamedTuple):
    """Where a producer begins: at a new log, or behind what a dead writer has stored."""

    lease: Lease
    stored: Sequence[Entry] = ()
    age: float = 0.0
    """Seconds since the log was opened."""
    way: continuing.Way | None = None
    """How the answer goes on; None at a new log."""
    recoverable: bool = False
    """Whether the log has a recovery."""
    asked: Cached | None = None
    """The question, for whoever gets its answer to another wording."""


class Successions:
    """Takes over abandoned logs. `succeed` starts the producer of a log that was taken over."""

    def __init__(
        self,
        logs: Callable[[], Logs],
        catalogue: Catalogue,
        claims: Claims,
        policy: Continuing,
        succeed: Callable[[Offer, Request, Beginning], None],
    ) -> None:
        self._logs = logs
        self._catalogue = catalogue
        self._claims = claims
        self._policy = policy
        self._succeed = succeed
        self._places = asyncio.Semaphore(AT_ONCE)
        self._tasks = Nursery("succession")
        self._ended = False
        self.taken_over: Callable[[Request, bool], None] = lambda request, ends: None
        """Called with the request of each log that is taken over here, and whether the log has ended with that."""

    def found(self, log: str) -> None:
        """Look at an abandoned log, unless that is under way."""
        if not (self._ended or self._tasks.has(log) or self._logs().writes(log)):
            self._tasks.start(log, self._look(log))

    def end(self) -> None:
        """Take over nothing more."""
        self._ended = True

    async def aclose(self) -> None:
        """Take over nothing more, and wait for what is under way."""
        self._ended = True
        await self._tasks.aclose()

    async def _look(self, log: str) -> None:
        await asyncio.sleep(random.uniform(0, SPREAD))  # noqa: S311 - no secret
        async with self._places:
            try:
                found = await self._logs().store.abandoned(log)
                if found is not None and (known := recovery.read(found.recovery)) is not None:
                    await self._take_over(found, known)
            except StoreError as error:  # another server was faster, or the store fails and is asked again
                logger.info("answer %s is not taken over here: %s", log, error)
            except HeadwaterError as error:
                logger.info("answer %s is gone: %s", log, error)

    async def _take_over(self, found: Abandoned, known: Recovery) -> None:
        prompt = known.prompt
        try:
            offer = self._catalogue.find(prompt.model, prompt.kind)
        except UnknownModel:
            return  # a server that has the model goes on
        if (offer.name, offer.upstream) != (prompt.model, known.upstream):
            return
        logs = self._logs()
        async with aclosing(logs.store.read(found.log, follow=False)) as pages:
            entries = [entry async for page in pages for entry in page]
        if len(entries) != found.last:
            return  # the writer is back
        events, way = await self._decision(found, known, entries, offer)
        first = len(entries) + 1
        seam = [record(Offset(found.epoch + 1, first + i), found.age, event) for i, event in enumerate(events)]
        lease = await logs.store.take_over(seam, found.log)
        request = Request(found.log, known.principal, prompt, "miss")
        self.taken_over(request, way is None)
        if way is None:
            logger.info("answer %s, whose server is gone, has ended: %s", found.log, events[-1])
            run = fold(entries).metadata.get(RUN)
            if run is not None and isinstance(model := await self._catalogue.get(offer), Reattaches):
                await model.cancel(str(run))
            return
        logger.info("answer %s, whose server is gone, goes on here (%s)", found.log, way)
        beginning = Beginning(lease, [*entries, *seam], found.age, way, recoverable=True)
        self._succeed(offer, request, beginning)

    async def _decision(
        self, found: Abandoned, known: Recovery, entries: Sequence[Entry], offer: Offer
    ) -> tuple[list[Event], continuing.Way | None]:
        """The first events of the next epoch, and how the answer goes on; None where it ends."""
        if found.stop is not None:
            return [Stop("disconnect" if found.stop == LEAVES else found.stop)], None
        answer = fold(entries)
        waited = round(max(found.age - (entries[-1].at if entries else 0.0), 0.0), 3)
        refusal = continuing.refusal(entries, answer, self._policy.limit)
        if waited > STALE:
            refusal = f"it has been silent for {waited:.0f} s, and nobody waits for it any more"
        model = await prepared(await self._catalogue.get(offer)) if refusal is None else None
        ways = continuing.ways(answer, known.prompt, model, self._policy.ways) if model is not None else ()
        if not ways:
            why = refusal or "its model cannot go on with its own text"
            logger.info("answer %s, whose server is gone, is not continued: %s", found.log, why)
            return [lost()], None
        last = str(entries[-1].offset) if entries else f"{found.epoch}-0"
        # Before a `start`, which discards all that was seen, nothing has to be taken back.
        seam = Continued("server", ways[0], last, len(answer.continued) + 1, "", waited, last if entries else "")
        if entries:
            return [seam], ways[0]
        asked = self._claims.asked(Wanted(offer, known.prompt, known.principal))
        return [Start(found.log, known.prompt.model, int(time.time() - found.age), asked), seam], ways[0]
