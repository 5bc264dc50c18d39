"""Which models may be asked for, by name, and the one built for each."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from headwater.errors import UnknownModel
from headwater.models.model import Model


class Offer(NamedTuple):
    """A model on offer: what the key must know of it before it is built, and how to build it."""

    name: str
    upstream: str
    """The address it is reached at, or whatever else tells it from its namesakes."""
    cacheable: bool
    build: Callable[[], Awaitable[Model]]


class Catalogue:
    """The models on offer. Each is built once, at its first use, because building one costs up to a second."""

    def __init__(
        self,
        chat: Offer,
        completion: Offer | None = None,
        *,
        also: Iterable[Offer] = (),
        more: Callable[[str], Offer | None] | None = None,
    ) -> None:
        self.chat = chat
        self.completion = completion or chat
        self._offers = {offer.name: offer for offer in (*also, self.completion, chat)}
        self._more = more
        self._built: dict[str, asyncio.Future[Model]] = {}

    def find(self, name: str | None, kind: str) -> Offer:
        """The offer for a request that names `name`, or nothing. Raises `UnknownModel`."""
        if name is None:
            return self.completion if kind == "completion" else self.chat
        offer = self._offers.get(name) or (self._more(name) if self._more else None)
        if offer is None:
            raise UnknownModel(f"model {name[:100]!r} is not offered here; leave it out for {self.chat.name!r}")
        return offer

    async def get(self, offer: Offer) -> Model:
        """The model of an offer; the first who asks builds it, the others wait for the same one."""
        building = self._built.get(offer.name)
        if building is None:
            building = self._built[offer.name] = asyncio.ensure_future(offer.build())
        try:
            # Shielded: the model is everybody's, so one caller's cancellation must not end its building.
            return await asyncio.shield(building)
        except Exception:
            self._built.pop(offer.name, None)  # the next request tries again
            raise

    async def aclose(self) -> None:
        """Close every model that was built."""
        for building in self._built.values():
            if not building.done():
                building.cancel()
            elif not building.cancelled() and building.exception() is None:
                close = getattr(building.result(), "aclose", None)
                if close is not None:
                    await close()
        self._built.clear()
