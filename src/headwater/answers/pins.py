"""Pinned answers: an operator binds an answer to a question, and every server gives it in place of a model's.

A pin is a document, and its answer a log like any other, made from the document again once it is gone: it has expired,
was deleted, or the store lost it. Each server keeps the names of all pins in memory. Every few seconds it looks whether
one has changed since, and only then reads them all. So a request meets the pins before the cache, and costs the store
no further step.

A pin answers the same messages whatever the sampling parameters are, and with form matching the same question in other
words. It answers no request for tool calls or for a form of output, which a text does not have.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import msgspec

from headwater.answers.claim import Claims, Wanted
from headwater.cache.form import FORM
from headwater.cache.key import fingerprint, log_id
from headwater.entries import record
from headwater.errors import Conflict, Expired, NoSuchLog, RequestError
from headwater.events import Event, Finish, Start, TextDelta, parts
from headwater.log.logs import Logs
from headwater.log.store import Claim, listed
from headwater.offsets import Offset
from headwater.principal import Principal
from headwater.prompt import Message, Prompt

COLLECTION = "pins"
CHANGED = "pins.changed"
"""The collection of the one document that is another one after each change of a pin."""
MOST = 1000
"""Pins at most, since every server keeps their names in memory."""
LOOK = 5.0
"""Seconds after which a server that is asked looks for new pins."""
KEPT, RENEWED = 400 * 86_400.0, 86_400.0
"""Seconds for which the store keeps a pin, and after which a server that is asked renews that."""
LASTS = 30 * 86_400.0
"""Seconds after which the log of a pin is made again."""
_FORMS = ("response_format", "text", "output_config", "functions")
"""Fields of a request that ask for another form of answer than plain text."""


class Pin(msgspec.Struct, frozen=True):
    """An answer that is bound to a question of one tenant."""

    tenant: str
    messages: list[Message]
    answer: str
    model: str = ""
    """The model whose answers it replaces, by its whole name; empty: any."""
    created: int = 0
    """When it was bound, in seconds since 1970."""
    id: str = ""
    log: str = ""
    """The log of the answer."""


class Pins:
    """The pins in the store, as this process knows them. `clock` counts seconds."""

    def __init__(
        self, on: bool, claims: Claims, logs: Callable[[], Logs], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._on = on
        self._claims = claims
        if on:
            claims.pinned = self.met
        self._logs = logs
        self._clock = clock
        self._known: Mapping[str, Pin] = {}  # without their texts
        self._forms: Mapping[str, str] = {}  # the pins by the forms of their questions
        self._seen: object = None  # what the store was at when they were read
        self._tenants: frozenset[str] = frozenset()
        self._looked = self._renewed = -math.inf
        self._looking = asyncio.Lock()

    async def met(self, wanted: Wanted) -> Claim | None:
        """The log of the answer that is pinned to this request. Raises `StoreError`."""
        prompt, tenant = wanted.prompt, wanted.principal.tenant
        if wanted.directives.no_store or prompt.tools or any(name in prompt.extra for name in _FORMS):
            return None
        await self._look()
        if tenant not in self._tenants:
            return None
        if (claim := await self._of(tenant, prompt.messages, prompt.model)) is not None:
            return claim
        if wanted.directives.exact or (alike := self._claims.form(prompt)) is None:
            return None
        claim = await self._of(tenant, alike.messages, prompt.model, FORM)
        return claim and msgspec.structs.replace(claim, place=1)

    async def put(self, pin: Pin) -> Pin:
        """Bind an answer to a question, in place of an earlier one. Raises `RequestError` or `StoreError`."""
        await self._check()
        id = await self._id(pin.tenant, pin.messages, pin.model)
        if id not in self._known and len(self._known) >= MOST:
            words = f"there are {MOST} pins, and no server keeps more; remove one first"
            raise RequestError(words, "too_many_pins", 409)
        replaced = self._known.get(id)
        pin = await self._write(msgspec.structs.replace(pin, id=id))
        if replaced is not None:
            await self._forget(replaced.log)
        return pin

    async def list(self) -> Sequence[Pin]:
        """All pins. Raises `RequestError` or `StoreError`."""
        await self._check()
        return await self._stored()

    async def remove(self, id: str) -> Pin:
        """Give the question back to the models. Raises `RequestError` or `StoreError`."""
        await self._check()
        if (pin := self._known.get(id)) is None:
            raise RequestError(f"there is no pin {id[:80]}; list them with GET", "not_found", 404)
        await self._logs().store.delete(id, collection=COLLECTION)
        await self._changed()
        await self._forget(pin.log)
        return pin

    async def _check(self) -> None:
        if not self._on:
            raise RequestError("this server looks for no pins; start it with HEADWATER_PINS=true", "pins_off", 409)
        self._looked = -math.inf
        await self._look()

    async def _look(self) -> None:
        if self._clock() - self._looked < LOOK:
            return
        async with self._looking:
            now, store = self._clock(), self._logs().store
            if now - self._looked < LOOK:
                return  # another request was faster
            if self._known and now - self._renewed > RENEWED:
                for collection in (COLLECTION, CHANGED):
                    await store.renew_documents(collection, KEPT)
                self._renewed = now
            seen = (await store.get(CHANGED, collection=CHANGED), await self._claims.secret(store))
            if seen != self._seen:
                await self._read()
            self._looked, self._seen = now, seen

    async def _read(self) -> None:
        known, forms = dict[str, Pin](), list[tuple[int, str, str]]()
        for pin in await self._stored():
            known[pin.id] = msgspec.structs.replace(pin, messages=[], answer="")
            if (alike := self._claims.form(Prompt(model=pin.model, messages=pin.messages))) is not None:
                forms.append((pin.created, await self._id(pin.tenant, alike.messages, pin.model, FORM), pin.id))
        self._known, self._tenants = known, frozenset(pin.tenant for pin in known.values())
        self._forms = {form: id for _, form, id in sorted(forms)}  # of two alike, the one that was bound last

    async def _stored(self) -> Sequence[Pin]:
        return [msgspec.json.decode(kept.value, type=Pin) async for _, kept in listed(self._logs().store, COLLECTION)]

    async def _changed(self) -> None:
        await self._logs().store.put(CHANGED, self._claims.new_run().encode(), ttl=KEPT, collection=CHANGED)
        self._looked = -math.inf

    async def _id(self, tenant: str, messages: Sequence[Message], model: str, salt: str = "") -> str:
        prompt = Prompt(model=model, messages=list(messages))
        secret = await self._claims.secret(self._logs().store)
        return fingerprint(prompt, tenant=tenant, upstream="", secret=secret, salt=f"pin{salt}")

    async def _of(self, tenant: str, messages: Sequence[Message], model: str, salt: str = "") -> Claim | None:
        for of in (model, ""):
            id = await self._id(tenant, messages, of, salt)
            pin = self._known.get(self._forms.get(id, "") if salt else id)
            if pin is not None and (claim := await self._claim(pin)) is not None:
                return claim
        return None

    async def _claim(self, known: Pin) -> Claim | None:
        """The log of a pin, made again if it is gone; None if the pin was removed."""
        with suppress(NoSuchLog, Expired):
            found = await self._logs().state(known.log)
            if found.state == "finished" and found.age < LASTS:
                return Claim(known.log, won=False, state="finished", age=found.age, ttl=math.inf)
        while (kept := await self._logs().store.get(known.id, collection=COLLECTION)) is not None:
            pin = msgspec.json.decode(kept.value, type=Pin)
            with suppress(Conflict):  # it was removed meanwhile, or others were faster
                if pin.log == known.log:
                    pin = await self._write(pin, kept.version)
                return Claim(pin.log, won=False, state="finished", ttl=math.inf)
        return None

    async def _write(self, pin: Pin, version: int | None = None) -> Pin:
        """Make the log of a pin, then the document that names it. Raises `Conflict` if that has another version."""
        store = self._logs().store
        pin = msgspec.structs.replace(pin, log=log_id(pin.id, self._claims.new_run()))
        # Longer than `LASTS`, so that whoever reads it then can read it to its end.
        lease = await store.open(pin.log, Principal(pin.tenant, "operator"), ttl=LASTS + RENEWED)
        matched = self._claims.matched(Prompt(model=pin.model, messages=pin.messages))
        start = Start(pin.log, pin.model or "pinned", pin.created, matched)
        events: list[Event] = [start, *parts(TextDelta(pin.answer)), Finish("stop")]
        await store.seal([record(Offset(1, number), 0.0, event) for number, event in enumerate(events, 1)], lease)
        await store.put(pin.id, msgspec.json.encode(pin), ttl=KEPT, version=version, collection=COLLECTION)
        await self._changed()
        return pin

    async def _forget(self, log: str) -> None:
        with suppress(NoSuchLog, Expired):
            await self._logs().forget(log)
