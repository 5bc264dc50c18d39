"""The claim of a request: which log answers a prompt, by the request's directives and the operator's settings."""

import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from headwater.answers.purges import Purges
from headwater.cache.form import FORM
from headwater.cache.key import Tokens, asked, conversation_key, fingerprint, form_of, log_id
from headwater.cache.policy import Directives, Stale
from headwater.errors import NotCached, StoreError
from headwater.events import Cached
from headwater.log.names import names_in
from headwater.log.store import Claim, Store, Terms
from headwater.models.catalogue import Offer
from headwater.offsets import JOINED, TAG
from headwater.principal import LEAVES, Principal
from headwater.prompt import Prompt

TRUSTED = 60.0
"""Seconds for which a secret from the store is used before the store is asked again: it may have lost it, and made
another one since for a server that has started."""

FIRST, AGAIN = "\n0", "\n1"
"""Idempotency keys of a client that sends none but counts its attempts: of the first, and of all others."""

RETRIED = 60.0
"""Seconds after an answer's end for which a retry gets it: one that ended earlier was of another request."""

_NONE = "the request says only-if-cached, and no answer to this prompt is stored or running"

_log = logging.getLogger(__name__)


class Caching(msgspec.Struct, frozen=True):
    """What the operator decides about the cache."""

    ttl: float = 3600.0
    """Seconds an answer may be replayed; 0 turns the cache off, and every request gets a log of its own."""
    secret: bytes = b""
    """Keys the fingerprints; empty: made once, and kept in the store for all servers on it."""
    stale: Stale = Stale()
    """How stale an answer may be, unless the request says it. The store keeps logs so much longer (`Limits.grace`)."""
    refresh: float = 0.0
    """Seconds before the end of its TTL in which an answer that is asked for often is renewed; 0: none is."""
    match: Literal["exact", "form"] = "exact"
    """Whether an answer also serves questions of the same form (`cache/form.py`)."""


class Wanted(msgspec.Struct, frozen=True):
    """A request as the cache sees it."""

    offer: Offer
    prompt: Prompt
    principal: Principal
    directives: Directives = Directives()
    idempotency_key: str = ""
    leaves: bool = False
    """Whether the principal leaves the log by ceasing to read it."""
    recovery: bytes | None = None
    """What the store keeps for a successor of the log's writer (`answers/recovery.py`)."""
    run: str = ""
    """The run of the log that is opened, where it was chosen before."""
    renews: float | None = None
    """The age of the stored answer that is to be renewed: only a log that is newer will do."""
    joins: bool = False
    """Whether only a log that is there will do, running or stored: no new one is opened."""

    @property
    def subject(self) -> Principal:
        """The principal as the log's subjects name it."""
        principal = self.principal
        return principal._replace(subject=principal.subject + LEAVES) if self.leaves else principal


class Claims:
    """Binds requests to logs in one store. `clock` counts seconds."""

    def __init__(self, caching: Caching, clock: Callable[[], float] = time.monotonic) -> None:
        self._caching = caching
        self._secret = caching.secret
        self.refresh = caching.refresh
        self.pinned: Callable[[Wanted], Awaitable[Claim | None]] | None = None
        """Finds the answer that is pinned to a request (`answers/pins.py`), if there are any."""
        self._clock = clock
        self._confirmed = -TRUSTED  # when the store was asked for the secret last
        self._tokens = Tokens()
        self.purges = Purges(clock)

    def replay_id(self, log: str, *, joined: bool = False) -> str:
        """A new message id for a replay of a log: two messages in one chat must not share an id.

        The id tells whether the log was still running (`JOINED`), so that its state can say what was saved.
        """
        return f"{log}~{JOINED if joined else ''}{self._tokens.new(6)}"

    def new_run(self) -> str:
        """The run of a log that is to be opened."""
        return self._tokens.new(8)

    async def claim(self, store: Store, wanted: Wanted) -> tuple[Claim, str]:
        """Bind or open a log, and say why: `miss`, `request`, `bypass` or `stale`, as in RFC 9211.

        Raises `NotCached` for `only-if-cached` without an answer, also if `wanted` only joins, or `StoreError`.
        """
        principal, directives, ttl = wanted.subject, wanted.directives, self._caching.ttl
        terms = self._terms(wanted)
        await self.secret(store)
        if self.pinned is not None and (found := await self.pinned(wanted)) is not None:
            return found, "miss"
        if ttl > 0:
            await self.purges.refresh(store)
        name = self._name(wanted)
        log = log_id(name, wanted.run or self.new_run())
        if wanted.renews is not None:
            # All who want the renewal share it by a name of its own. The last one, which the stored answer may be, has
            # that name still, and is too old.
            terms = Terms(max(wanted.renews - 0.001, 0), name, wanted.recovery)
            return await _claim(store, wanted, f"{names_in(name)[0]}.renewal", log, ttl, terms), "stale"
        if directives.only_if_cached:
            # Together with no-cache nothing is admissible, because a stored answer must not be used.
            found = None if directives.no_cache else await store.find(name, principal, terms=terms)
            if found is None:
                raise NotCached(_NONE)
            return found, "miss"
        cached = ttl > 0 and wanted.offer.cacheable
        if cached and not (directives.no_cache or directives.no_store):
            return await _claim(store, wanted, name, log, ttl, terms), "miss"
        fwd = "request" if cached else "bypass"
        bound = name if cached and not directives.no_store else None
        if wanted.idempotency_key:
            first, again = wanted.idempotency_key == FIRST, wanted.idempotency_key == AGAIN
            # A retried POST joins its first run where the cache may not be used: the name is this request's own. Its
            # prefix is the prompt's, so that a store that keeps a name and its log on one shard keeps this one there.
            salt = self._fingerprint(
                wanted, salt=f"{wanted.principal.subject}\n{FIRST if again else wanted.idempotency_key}"
            )
            kept = ttl if bound else store.limits.grace
            # A first attempt takes the name over from an answer that has ended. It joins none that runs: that is
            # another request for the same, and its own retry will join that one, for want of a name that tells them.
            newer = 0.0 if first else RETRIED if again else None
            terms = Terms(newer, bound, wanted.recovery)
            claim = await _claim(store, wanted, f"{names_in(name)[0]}.{salt}", log, kept, terms)
            if claim.won or not first:
                return claim, fwd
        if wanted.joins:
            raise NotCached(_NONE)
        lease = await store.open(log, principal, ttl=ttl if bound else 0, name=bound, recovery=wanted.recovery)
        return Claim(log, won=True, lease=lease), fwd

    def stale(self, wanted: Wanted) -> Stale:
        """How stale an answer to this request may be."""
        return self._caching.stale.within(wanted.directives)

    def _terms(self, wanted: Wanted) -> Terms:
        stale, max_age = max(self.stale(wanted)), wanted.directives.max_age
        return Terms(None if max_age is None else max_age + stale, None, wanted.recovery, stale)

    def form(self, prompt: Prompt) -> Prompt | None:
        """The prompt with the form of its question; None if it has none, or if questions are matched exactly."""
        return form_of(prompt) if self._caching.match == "form" else None

    def asked(self, wanted: Wanted) -> Cached | None:
        """The question as the log keeps it, for whoever gets its answer to another wording; None if nobody does."""
        cached = self._caching.ttl > 0 and wanted.offer.cacheable
        if not cached or wanted.directives.no_store or wanted.directives.exact:
            return None
        return self.matched(wanted.prompt)

    def matched(self, prompt: Prompt) -> Cached | None:
        """What whoever asks the question in other words is told; None if the answer serves no other wording."""
        return None if self.form(prompt) is None else Cached("hit", matched=asked(prompt))

    def keyed(self, wanted: Wanted) -> Prompt:
        """The prompt as the provider gets it, once it is claimed: with a `prompt_cache_key` where one is derived."""
        prompt = wanted.prompt
        if not wanted.offer.derives_cache_key or prompt.kind != "chat" or "prompt_cache_key" in prompt.carried:
            return prompt
        key = conversation_key(prompt, tenant=wanted.principal.tenant, secret=self._secret)
        return msgspec.structs.replace(prompt, carried={**prompt.carried, "prompt_cache_key": key})

    async def opened_as(self, store: Store, wanted: Wanted, run: str) -> str:
        """The id that this request's log has if it was opened as `run`; whether there is one is for the store to say.

        Raises `StoreError`.
        """
        await self.secret(store)
        if self._caching.ttl > 0:
            await self.purges.refresh(store)
        return log_id(self._name(wanted), run)

    async def secret(self, store: Store, *, confirmed: bool = True) -> bytes:
        """A secret that the store confirmed not long ago; one from the settings needs no store.

        Unless it must be `confirmed`, one that this process knows is given at once. Raises `StoreError`.
        """
        if not confirmed and self._secret:
            return self._secret
        if not self._caching.secret and (not self._secret or self._clock() - self._confirmed >= TRUSTED):
            await self._confirm_secret(store)
        return self._secret

    async def _confirm_secret(self, store: Store) -> None:
        """Use the secret that the store keeps; a store that has lost it keeps ours again."""
        known, self._confirmed = self._secret, self._clock()
        try:
            self._secret = await store.constant("secret", known or secrets.token_bytes(32))
        except StoreError:
            if not known:
                raise
        if known and self._secret != known:
            _log.warning("the store had lost its data and has another secret: answers from before are not found again")

    def _name(self, wanted: Wanted) -> str:
        """The name of the exact prompt and, with form matching, that of its form behind it (`names_in`)."""
        exact = self._fingerprint(wanted)
        if (alike := self.form(wanted.prompt)) is None:
            return exact
        alike = self._fingerprint(msgspec.structs.replace(wanted, prompt=alike), salt=FORM)
        # Both names begin alike, so that a store that keeps a name and its log on one shard keeps these three there.
        exact = alike[:TAG] + exact[TAG:]
        return exact if wanted.directives.exact else f"{exact}\n{alike}"

    def _fingerprint(self, wanted: Wanted, salt: str = "") -> str:
        upstream = wanted.offer.upstream
        return fingerprint(
            wanted.prompt,
            tenant=wanted.principal.tenant,
            upstream=upstream,
            secret=self._secret,
            salt=salt,
            age=self.purges.token(wanted.principal.tenant),
        )


async def _claim(store: Store, wanted: Wanted, name: str, log: str, ttl: float, terms: Terms) -> Claim:
    """The log of a name, opened unless there is one; `NotCached` where only one that is there will do."""
    if not wanted.joins:
        return await store.claim(name, log, wanted.subject, ttl=ttl, terms=terms)
    found = await store.find(name, wanted.subject, terms=terms)
    if found is None:
        raise NotCached(_NONE)
    return found
