"""The one way in: whoever wants an answer is attached to its log, and reads, stops or deletes it through here.

Tenancy is checked here and nowhere else. Every call takes a principal, and another tenant's log looks like no log at
all, whatever its id. `ready` and `drain` are about the server and not about anybody's answer, so they take none.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial

import msgspec

from headwater.answer import Answer, fold
from headwater.answers import former
from headwater.answers.admission import Admission
from headwater.answers.attachment import Attachment
from headwater.answers.claim import Caching, Claims, Wanted
from headwater.answers.continuing import Continuing
from headwater.answers.drain import Drain
from headwater.answers.generation import Generation, Timeouts
from headwater.answers.notices import Saving, hooks, observed, written
from headwater.answers.nursery import Nursery
from headwater.answers.pins import Pins
from headwater.answers.quota import Allowance
from headwater.answers.recovery import kept
from headwater.answers.renewals import Renewals
from headwater.answers.source import Source
from headwater.answers.successions import Beginning, Successions
from headwater.cache.policy import Directives
from headwater.entries import Entry
from headwater.errors import Expired, NoSuchLog, ShuttingDown
from headwater.log.feed import Take
from headwater.log.logs import Logs
from headwater.log.store import Claim, Description, Documents, Store
from headwater.models.catalogue import Catalogue, Offer
from headwater.models.model import Counts
from headwater.observe import CONCERN, Concern, Observers, Outcome, Request, concerns
from headwater.offsets import ORIGIN, Offset
from headwater.principal import Principal
from headwater.prompt import Prompt

_MESSAGE_ID = re.compile(r"([a-z0-9-]{8,80})(~[a-z0-9]{1,32})?", re.ASCII)

READY_WITHIN = 2.0
"""Seconds for which a probe waits for a model that could not be built before, and is built once more."""

Pages = AsyncGenerator[Sequence[Entry], None]


class Policy(msgspec.Struct, frozen=True):
    """What the operator decides about answers; times in seconds."""

    caching: Caching = Caching()
    timeouts: Timeouts = Timeouts()
    continuing: Continuing = Continuing()
    allowance: Allowance = Allowance()
    pins: bool = False
    """Whether answers are pinned to questions (`answers/pins.py`)."""
    stop_wait: float = 2.0
    """How long a stop waits until the log has ended, so that the caller learns the state that was reached."""


class Answers:
    """Attaches requests to logs, starts their producers, and hands out what is in a log to its tenant.

    `open_store` is called at the first use; `aclose` closes that store unless it is `borrowed`, and a later use calls
    `open_store` again, as an app that is started twice needs it.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        catalogue: Catalogue,
        policy: Policy | None = None,
        observers: Observers | None = None,
        *,
        borrowed: bool = False,
    ) -> None:
        self._open_store = open_store
        self._borrowed = borrowed
        self._catalogue = catalogue
        self._policy = policy or Policy()
        self.observers = observers or Observers()
        self._claims = Claims(self._policy.caching)
        self._opened: Logs | None = None
        self._nursery = Nursery()
        self._admission = Admission(
            self._policy.allowance, self._claims, lambda: self._logs.store, lambda: len(self._nursery)
        )
        self.pins = Pins(self._policy.pins, self._claims, lambda: self._logs)
        self._renewals = Renewals(self._claims, self._admission.claim, lambda: self._logs, self._begin)
        self._generations: dict[str, Generation] = {}
        self._draining = Drain()
        self._successions = Successions(
            lambda: self._logs, catalogue, self._claims, self._policy.continuing, self._start
        )
        self._successions.taken_over = lambda of, ends: self.observers.notify(lambda each: each.taken_over(of, ends))
        self._companions: list[tuple[Callable[[], object], Callable[[], Awaitable[None]]]] = []
        self.unprepared: BaseException | None = None
        """Why `prepare` failed the last time, if it did."""

    @property
    def running(self) -> int:
        """How many answers are being generated in this process."""
        return len(self._nursery)

    @property
    def generations(self) -> Mapping[str, Generation]:
        """Them, by the ids of their logs."""
        return self._generations

    @property
    def models(self) -> Sequence[str]:
        """The names of the models that are listed; requests may be allowed to name more."""
        return self._catalogue.names

    def offer(self, name: str) -> Offer:
        """The model that a request may call so, under its whole name; empty: the default. Raises `UnknownModel`."""
        return self._catalogue.find(name or None, "chat")

    async def count_tokens(self, prompt: Prompt) -> int | None:
        """The tokens of a prompt as its model counts them; None if it does not. Raises `UnknownModel`, `ModelError`."""
        offer = self._catalogue.find(prompt.model or None, prompt.kind)
        model = await self._catalogue.get(offer)
        return await model.count_tokens(offer.addressed(prompt)) if isinstance(model, Counts) else None

    @property
    def documents(self) -> Documents:
        """Where routes keep what outlives a request, such as which log a chat is at. The tenant is theirs to check."""
        return self._logs.store

    @property
    def kept_for(self) -> float:
        """Seconds after which a log that is opened now is gone at the latest."""
        return self._policy.timeouts.total + self._policy.caching.ttl + self._logs.store.limits.grace

    @property
    def _logs(self) -> Logs:
        if self._opened is None:
            self._opened = Logs(self._open_store())
            if self._policy.continuing.mode == "all":
                self._opened.store.watch_abandoned(self._successions.found)
            for begin, _ in self._companions:
                begin()
        return self._opened

    def accompany(self, begin: Callable[[], object], end: Callable[[], Awaitable[None]]) -> None:
        """Call `begin` when the store is opened, and await `end` once every producer has ended, before it is closed."""
        self._companions.append((begin, end))

    async def ask(
        self,
        prompt: Prompt,
        principal: Principal,
        directives: Directives = Directives(),  # noqa: B008 - immutable
        *,
        idempotency_key: str = "",
        offer: Offer | None = None,
        leaves: bool = False,
    ) -> Attachment:
        """The log that answers this prompt, started if nobody has started it.

        `offer` is the model where the route has one of its own; otherwise the prompt names it. With `leaves`, the
        answer ends once nobody has read it for `Timeouts.unread`, unless somebody else wants it. Raises `UnknownModel`,
        `NotCached` for `only-if-cached` without a stored answer, `ShuttingDown`, `StoreError`, or as `Admission` does.
        """
        if self._draining.begun:
            raise ShuttingDown("this server is shutting down and takes no new work; ask again in a moment")
        offer = offer or self._catalogue.find(prompt.model or None, prompt.kind)
        prompt = offer.addressed(prompt)
        # Nobody goes on with an answer that is to end when its readers leave, or whose question must not be kept.
        mends = self._policy.continuing.mode == "all" and not (leaves or directives.no_store)
        recovery = kept(prompt, offer, principal) if mends else None
        wanted = Wanted(offer, prompt, principal, directives, idempotency_key, leaves, recovery)
        claim, fwd, fields = await self._admission.claim(wanted)
        met = await self._renewals.met(wanted, claim, fwd)
        claim, live = met.claim, met.claim.state == "open"
        concerns(claim.log, principal.tenant, prompt)
        if self.observers:
            request = Request(claim.log, principal, prompt, met.outcome, form=claim.place > 0)
            self.observers.notify(lambda observer: observer.claimed(request))
        if claim.lease is not None and not met.begun:
            self._begin(wanted, claim, met.outcome)
        CONCERN.set(Concern(claim.log, principal.tenant))  # a reader needs no prompt, which would stay as long as it
        return Attachment(
            log=claim.log,
            tenant=principal.tenant,
            message_id=claim.log if claim.won else self._claims.replay_id(claim.log, joined=live),
            status=met.status,
            age=None if live else claim.age,
            cached=met.cached,
            fields=fields,
        )

    async def opened(
        self, prompt: Prompt, principal: Principal, run: str, offer: Offer | None = None
    ) -> Description | None:
        """The log that was opened for this prompt as `run`, for a client that repeats its request; None if it is gone.

        Starts nothing. `offer` is as for `ask`. Raises `UnknownModel` or `StoreError`.
        """
        offer = offer or self._catalogue.find(prompt.model or None, prompt.kind)
        wanted = Wanted(offer, offer.addressed(prompt), principal)
        try:
            return await self.find(await self._claims.opened_as(self._logs.store, wanted, run), principal)
        except (NoSuchLog, Expired):
            return None

    async def find(self, message_id: str, principal: Principal) -> Description:
        """The log behind a message id. Raises `NoSuchLog`, also for another tenant's log, `Expired` or `StoreError`."""
        if (match := _MESSAGE_ID.fullmatch(message_id)) is None:
            raise NoSuchLog.of(message_id[:100])
        described = await self._logs.state(match[1])
        _check(described, principal)
        return described

    def read(
        self,
        found: Attachment | Description,
        principal: Principal,
        after: Offset = ORIGIN,
        *,
        follow: bool = True,
        dialect: str = "",
        take: Take | None = None,
    ) -> Pages:
        """Every entry after `after`, in pages, until the ending; without `follow`, until what there is now.

        `take` may take pages, which are not yielded then; see `headwater.log.feed.Take`.
        `dialect` names the reader's dialect to observers. Raises `NoSuchLog`, `Expired` or `StoreError`.
        """
        _check(found, principal)
        sealed = found.age is not None if isinstance(found, Attachment) else found.state != "open"
        pages = self._logs.read(found.log, after, follow=follow, sealed=sealed, take=take)
        if not (self.observers and dialect):
            return pages
        saves = isinstance(found, Attachment) and found.cached is not None
        saving = Saving(found.tenant, found.age is not None) if saves else None
        return observed(pages, self.observers, found.log, dialect, saving)

    async def ending(self, found: Attachment | Description, principal: Principal) -> Entry:
        """The last entry of a log that has ended. Raises as `read` does."""
        epoch, last = (await self._logs.state(found.log)).last
        return (await self.entries(found, principal, Offset(epoch, last - 1)))[-1]

    async def entries(
        self, found: Attachment | Description, principal: Principal, after: Offset = ORIGIN
    ) -> Sequence[Entry]:
        """What the log holds now after an offset. Raises as `read` does."""
        async with aclosing(self.read(found, principal, after, follow=False)) as pages:
            return [entry async for page in pages for entry in page]

    async def answer(self, found: Attachment | Description, principal: Principal) -> Answer:
        """The answer as far as it has come. Raises as `read` does."""
        return fold(await self.entries(found, principal))

    async def stop(self, found: Attachment | Description, principal: Principal) -> bool:
        """Request the end of an answer, and wait for it within `Policy.stop_wait`.

        False when other subjects still want the answer, or when its end has not been reached yet.
        """
        _check(found, principal)
        if not await former.stop(self._logs.store, found.log, principal):
            return False
        try:
            async with asyncio.timeout(self._policy.stop_wait), aclosing(self._logs.read(found.log)) as pages:
                async for _ in pages:
                    pass
        except TimeoutError:
            return False
        return True

    async def forget(self, found: Attachment | Description, principal: Principal) -> None:
        """Delete a log and the name bound to it. Raises `NoSuchLog`, `Expired` or `StoreError`."""
        _check(found, principal)
        await self._logs.forget(found.log)

    async def purge(self, tenant: str) -> None:
        """Find nothing of before for a tenant's requests; elsewhere within `purges.FRESH`. Raises `StoreError`."""
        await self._claims.purges.purge(self._logs.store, tenant, self.kept_for)

    def departure(self, log: str) -> Drain | None:
        """What begins when a reader of this log should go on elsewhere; None for a log that is written here."""
        return None if self._nursery.has(log) else self._draining

    def retrying(self, log: str) -> bool:
        """Whether this log's model has failed before its first token and is retried, in this process."""
        generation = self._generations.get(log)
        return generation is not None and generation.retrying

    async def prepare(self) -> None:
        """Open the store and build the model, so that the first request waits for neither. Raises `HeadwaterError`.

        The store's first call makes it look for logs whose writers died with the last server.
        """
        # Beside each other, because what is wrong with one must not hide what is wrong with the other.
        found = await asyncio.gather(self._logs.store.check(), self._catalogue.prepare(), return_exceptions=True)
        self.unprepared = next((failure for failure in found if failure is not None), None)
        if self.unprepared is not None:
            raise self.unprepared

    async def secret(self, *, confirmed: bool = True) -> bytes:
        """The secret of all servers on this store: the operator's, or one that the store keeps. Raises `StoreError`."""
        return await self._claims.secret(self._logs.store, confirmed=confirmed)

    async def ready(self) -> None:
        """Return if requests may be sent here. Raises `ShuttingDown`, `StoreError`, or why no model can be built."""
        if self._draining.begun:
            raise ShuttingDown("this server is shutting down; ask again in a moment")
        if (failed := self.unprepared) is None:
            await self._logs.store.check()
            return
        try:
            async with asyncio.timeout(READY_WITHIN):
                await self.prepare()  # the operator may have installed what was missing
        except TimeoutError:
            raise failed from None

    def drain(self) -> None:
        """Take no new work from now on; readers of logs that are written elsewhere are let go."""
        self._draining.begin()
        self._successions.end()

    async def drained(self, within: float) -> bool:
        """Wait, `within` seconds at most, until every answer has ended by itself; whether they all have."""
        return await self._nursery.finished(within)

    async def end(self) -> None:
        """End every producer, and its log with it, then the models; readers may still read until `aclose`.

        A log that a successor may go on with stays open, and its readers are told to come back.
        """
        await self._successions.aclose()
        await self._nursery.aclose()
        await self._admission.aclose()
        for _, end in self._companions:
            await end()
        await self._catalogue.aclose()

    async def aclose(self) -> None:
        """End every producer, then close the store that was opened here; readers that are left get an error."""
        await self.end()
        opened, self._opened = self._opened, None
        if opened is not None and not self._borrowed:
            await opened.store.aclose()

    def _begin(self, wanted: Wanted, claim: Claim, outcome: Outcome) -> None:
        """Start the producer of a log that was claimed."""
        assert claim.lease is not None
        request = Request(claim.log, wanted.principal, self._claims.keyed(wanted), outcome)
        asked = self._claims.asked(wanted)
        beginning = Beginning(claim.lease, recoverable=wanted.recovery is not None, asked=asked)
        self._start(wanted.offer, request, beginning, wanted.leaves)

    def _start(self, offer: Offer, request: Request, beginning: Beginning, leaves: bool = False) -> None:
        """Start the producer of a log."""
        self._nursery.start(request.log, self._generate(offer, request, beginning, leaves))

    async def _generate(self, offer: Offer, request: Request, beginning: Beginning, leaves: bool) -> None:
        answer, lease = None, beginning.lease
        concerns(lease.log, request.principal.tenant, request.prompt)
        try:
            flushed, store_failed = hooks(self.observers, lease.log)
            async with self._logs.write(
                lease, stored=beginning.stored, age=beginning.age, flushed=flushed, store_failed=store_failed
            ) as writer:
                prompt = request.prompt
                offers, get = (offer, *self._catalogue.fallbacks), self._catalogue.get
                models = [Source(each.addressed(prompt), partial(get, each)) for each in offers]
                generation = Generation(models, request, writer, self._policy.timeouts, self.observers)
                generation.continuing = self._policy.continuing
                generation.recoverable, generation.leaves = beginning.recoverable, leaves
                generation.asked = beginning.asked
                if beginning.way is not None:
                    generation.successor = models[0]._replace(way=beginning.way)
                    await self._admission.take_over(request)
                generation.seal = self._admission.sealing(request, writer)
                generation.prices = self._catalogue.prices
                self._generations[lease.log] = generation
                try:
                    await generation.run()
                finally:
                    del self._generations[lease.log]
                    if self.observers and not writer.released:
                        generation.notify_made()
                        answer = written(writer, lease) if self.observers.want_answers else None
        finally:  # also when the server shuts down: that is an ending like any other
            self._admission.leave(request)
            self._renewals.ended(lease.log)
            if answer is not None:
                await self.observers.ended(request, answer)


def _check(found: Attachment | Description, principal: Principal) -> None:
    if found.tenant != principal.tenant:
        raise NoSuchLog.of(found.log)
    concerns(found.log, found.tenant)
