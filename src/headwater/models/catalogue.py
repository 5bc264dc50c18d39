"""Which models may be asked for, by name, and the one built for each."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

import msgspec

from headwater.errors import UnknownModel
from headwater.models.model import Model
from headwater.prompt import Prompt

MOST = 64
"""Models kept of those that no offer lists: more than anybody uses at once, and a caller may think of any number."""


class Offer(NamedTuple):
    """A model on offer: what the key must know of it before it is built, and how to build it."""

    name: str
    upstream: str
    """The address it is reached at, or whatever else tells it from its namesakes."""
    cacheable: bool
    build: Callable[[], Awaitable[Model]]
    sends_extra: bool = True
    """Whether unknown fields of a request reach the provider, and so decide the answer."""

    def addressed(self, prompt: Prompt) -> Prompt:
        """The prompt as this model gets it: under the model's own name, without `extra` where that goes nowhere.

        The key is made of this prompt, so a field that is not sent keeps no two requests apart.
        """
        extra = prompt.extra if self.sends_extra else {}
        return msgspec.structs.replace(prompt, model=self.name, extra=extra)


class Catalogue:
    """The models on offer. Each is built once, at its first use, because building one costs up to a second.

    `more` offers names beyond the listed ones; of the models behind these the `MOST` last used are kept. `close` is
    awaited when the models are closed, for what they share.
    """

    def __init__(
        self,
        chat: Offer,
        completion: Offer | None = None,
        *,
        also: Iterable[Offer] = (),
        more: Callable[[str], Offer | None] | None = None,
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.chat = chat
        self.completion = completion or chat
        self._offers = {offer.name: offer for offer in (*also, self.completion, chat)}
        self._more = more
        self._close = close
        self._built: dict[str, asyncio.Future[Model]] = {}
        """The last used comes last."""
        self._closing: set[asyncio.Task[None]] = set()

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
        building = self._built.pop(offer.name, None) or asyncio.ensure_future(offer.build())
        self._built[offer.name] = building
        if len(self._built) > MOST + len(self._offers):
            self._forget()
        try:
            # Shielded: the model is everybody's, so one caller's cancellation must not end its building.
            return await asyncio.shield(building)
        except Exception:
            if self._built.get(offer.name) is building:
                del self._built[offer.name]  # the next request tries again
            raise

    def _forget(self) -> None:
        """Let go of the model whose last use is the longest ago, of those without an offer of their own."""
        oldest = next((name for name, made in self._built.items() if name not in self._offers and made.done()), None)
        if oldest is not None:
            task = asyncio.create_task(_close(self._built.pop(oldest)), name=f"close {oldest[:100]}")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """Close every model that was built, and what they share."""
        for building in self._built.values():
            await _close(building)
        self._built.clear()
        await asyncio.gather(*self._closing)
        if self._close is not None:
            await self._close()


async def _close(building: asyncio.Future[Model]) -> None:
    if not building.done():
        building.cancel()
    elif not building.cancelled() and building.exception() is None:
        close = getattr(building.result(), "aclose", None)
        if close is not None:
            await close()
