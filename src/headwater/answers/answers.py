"""The one way in: whoever wants an answer is attached to the log that holds it, running, finished or just begun."""

import secrets
from collections.abc import Awaitable, Callable

import msgspec

from headwater.answers.drain import Drain
from headwater.answers.generation import Generation, Timeouts
from headwater.answers.nursery import Nursery
from headwater.cache.key import Tokens, fingerprint, log_id
from headwater.cache.policy import Directives, cache_status
from headwater.errors import NotCached, ShuttingDown
from headwater.log.logs import Logs
from headwater.log.store import Claim, Lease
from headwater.models.catalogue import Catalogue, Offer
from headwater.principal import Principal
from headwater.prompt import Prompt


class Attachment(msgspec.Struct, frozen=True):
    """Where to read an answer, and how it came about."""

    log: str
    message_id: str
    """The log's id, or `<log>~<random>` for a replay, so that two messages in one chat never share an id."""
    status: str
    """The `Cache-Status` to answer with (RFC 9211)."""
    age: float | None
    """Seconds since the answer was finished; None unless it comes from the cache."""


class Caching(msgspec.Struct, frozen=True):
    """What the operator decides about the cache."""

    ttl: float = 3600.0
    """Seconds an answer may be replayed; 0 turns the cache off, and every request gets a log of its own."""
    secret: bytes = b""
    """Keys the fingerprints; empty: made once, and kept in the store for all servers on it."""


class Attacher:
    """Attaches requests to logs, and starts the producer of a log that nobody has started."""

    def __init__(
        self,
        logs: Logs,
        catalogue: Catalogue,
        *,
        caching: Caching,
        timeouts: Timeouts | None = None,
        on_finish: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self.logs = logs
        self.catalogue = catalogue
        self.nursery = Nursery()
        self.draining = Drain()
        """Set once this server takes no new work."""
        self._caching = caching
        self._secret = caching.secret
        self._tokens = Tokens()
        self._timeouts = timeouts or Timeouts()
        self._on_finish = on_finish

    async def attach(
        self, prompt: Prompt, principal: Principal, directives: Directives, idempotency_key: str = ""
    ) -> Attachment:
        """The log that answers this prompt, started if nobody has started it.

        Raises `UnknownModel`, `NotCached` for `only-if-cached` without a stored answer, `ShuttingDown` or `StoreError`.
        """
        if self.draining.begun:
            raise ShuttingDown("this server is shutting down and takes no new work; ask again in a moment")
        offer = self.catalogue.find(prompt.model or None, prompt.kind)
        prompt = offer.addressed(prompt)
        claim, fwd = await self._claim(offer, prompt, principal, directives, idempotency_key)
        if claim.lease is not None:
            self.nursery.start(f"generation {claim.log}", self._generate(offer, prompt, claim.lease))
        live = claim.state == "open"
        return Attachment(
            log=claim.log,
            message_id=claim.log if claim.won else f"{claim.log}~{self._tokens.new(6)}",
            status=cache_status(won=claim.won, live=live, ttl=claim.ttl, fwd=fwd),
            age=None if live else claim.age,
        )

    async def _claim(
        self, offer: Offer, prompt: Prompt, principal: Principal, directives: Directives, idempotency_key: str
    ) -> tuple[Claim, str]:
        """Bind or open a log as the request's words and the operator's settings ask; and why, in RFC 9211's words."""
        store, ttl = self.logs.store, self._caching.ttl
        if not self._secret:
            self._secret = await store.constant("secret", secrets.token_bytes(32))
        name = self._name(offer, prompt, principal)
        mine = log_id(name, self._tokens.new(12))
        if directives.only_if_cached:
            # Together with no-cache nothing will do: what is stored must not be used unasked, and nobody may be asked.
            found = None if directives.no_cache else await store.find(name, principal, newer_than=directives.max_age)
            if found is None:
                raise NotCached("only-if-cached was asked for, and no answer to this prompt is stored or running")
            return found, "miss"
        cached = ttl > 0 and offer.cacheable
        if cached and not (directives.no_cache or directives.no_store):
            return await store.claim(name, mine, principal, ttl=ttl, newer_than=directives.max_age), "miss"
        fwd = "request" if cached else "bypass"
        bound = name if cached and not directives.no_store else None
        if idempotency_key:
            # A retried POST joins its first run where the cache may not be used: the name is this request's own. It
            # begins as the prompt's does, so that whatever keeps a name and its log together keeps these too.
            salt = self._name(offer, prompt, principal, salt=f"{principal.subject}\n{idempotency_key}")
            kept = ttl if bound else store.limits.grace
            return await store.claim(f"{name}.{salt}", mine, principal, ttl=kept, binds=bound), fwd
        lease = await store.open(mine, principal, ttl=ttl if bound else 0, name=bound)
        return Claim(mine, won=True, lease=lease), fwd

    def _name(self, offer: Offer, prompt: Prompt, principal: Principal, salt: str = "") -> str:
        return fingerprint(prompt, tenant=principal.tenant, upstream=offer.upstream, secret=self._secret, salt=salt)

    async def _generate(self, offer: Offer, prompt: Prompt, lease: Lease) -> None:
        async with self.logs.write(lease) as writer:
            await Generation(lambda: self.catalogue.get(offer), prompt, writer, self._timeouts).run()
        if self._on_finish is not None:
            await self._on_finish(lease.log)

    async def aclose(self) -> None:
        """End every producer, its log with it, then the models."""
        await self.nursery.aclose()
        await self.catalogue.aclose()
