"""The models on offer, by name; each is built once, at its first use."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from headwater.errors import UnknownModel
from headwater.models.model import Closes, Model, prepared
from headwater.models.prices import Prices
from headwater.prompt import Prompt


class Offer(NamedTuple):
    """A model on offer: what the key must contain of it before it is built, and how to build it."""

    name: str
    upstream: str
    """The address of the provider, or anything else that tells the model from others of the same name."""
    cacheable: bool
    build: Callable[[], Awaitable[Model]]
    sends_extra: bool = True
    """Whether unknown fields of a request reach the provider, and so decide the answer."""
    derives_cache_key: bool = False
    """Whether a `prompt_cache_key` is derived where the caller sets none, since the provider caches prefixes."""
    borrowed: bool = False
    """Whether the model is an object of the user's, which only the user closes."""
    images: bool = True
    """Whether a chat may hold images; true also where nobody knows."""
    continuable: bool = True
    """Whether an answer may be asked for again in the middle; not of a graph, whose tools would act twice."""

    def addressed(self, prompt: Prompt) -> Prompt:
        """The prompt as this model gets it: under the model's own name, without unknown fields where they go nowhere.

        The key is made of this prompt, so a field that is not sent keeps no two requests apart.
        """
        if self.sends_extra:
            return msgspec.structs.replace(prompt, model=self.name)
        return msgspec.structs.replace(prompt, model=self.name, extra={}, carried={})


class _Built(NamedTuple):
    """A model that is being built, or has been."""

    offer: Offer
    model: asyncio.Future[Model]


class Catalogue:
    """The models on offer. Building one takes up to a second, so each is built once and kept.

    `more` offers names beyond the listed ones. A caller may think of any number of them, so only the `most` last used
    of these are kept. `close` is awaited when the models are closed, for what they share.
    """

    def __init__(
        self,
        chat: Offer,
        completion: Offer | None = None,
        *,
        also: Iterable[Offer] = (),
        more: Callable[[str], Offer | None] | None = None,
        most: int = 64,
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.fallbacks: Sequence[Offer] = ()
        """The models that answer where the one that was asked fails, in this order."""
        self.prices: Prices | None = None
        """What their answers cost, if the operator wants to know."""
        self.chat = chat
        self.completion = completion or chat
        self._offers = {offer.name: offer for offer in (*also, self.completion, chat)}
        self._more = more
        self._most = most
        self._close_shared = close
        self._built: dict[str, _Built] = {}
        """By name; the last used comes last."""
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def names(self) -> Sequence[str]:
        """The names of the listed models; the one that answers chats comes first."""
        return [*dict.fromkeys((self.chat.name, *self._offers))]

    @property
    def chats(self) -> Sequence[Offer]:
        """The listed models that answer chats, the one that does so by default first."""
        others = [each for each in self._offers.values() if each is not self.completion]
        return [*{each.name: each for each in (self.chat, *others)}.values()]

    def find(self, name: str | None, kind: str) -> Offer:
        """The offer for a request that names `name`, or no model at all. Raises `UnknownModel`.

        A name without its provider is one of the provider of the model that would answer by default.
        """
        if name is None:
            return self.completion if kind == "completion" else self.chat
        # Clients that know providers, such as LangChain, take the provider's name off before they send the model's.
        full = f"{(self.completion if kind == 'completion' else self.chat).name.partition(':')[0]}:{name}"
        offer = self._offers.get(name) or self._offers.get(full)
        if offer is None and self._more is not None:
            offer = self._more(name) or (self._more(full) if ":" not in name else None)
        if offer is None:
            raise UnknownModel(f'the model "{name[:100]}" is not offered here; leave it out for "{self.chat.name}"')
        return offer

    async def get(self, offer: Offer) -> Model:
        """The model of an offer; the first caller builds it, later ones wait for the same one."""
        built = self._built.pop(offer.name, None) or _Built(offer, asyncio.ensure_future(offer.build()))
        self._built[offer.name] = built
        if len(self._built) > self._most + len(self._offers):
            self._evict()
        try:
            # Shielded: callers share the model, so one caller's cancellation must not end its building.
            return await asyncio.shield(built.model)
        except Exception:
            if self._built.get(offer.name) is built:
                del self._built[offer.name]  # the next request tries again
            raise

    async def prepare(self) -> None:
        """Build the chat model now, and have it import and connect what its first answer needs. Raises `ModelError`."""
        if self.prices is not None:
            await self.prices.prepare()
        await prepared(await self.get(self.chat))

    def _evict(self) -> None:
        """Close the least recently used of the models that no listed offer names."""
        unlisted = (name for name, built in self._built.items() if name not in self._offers and built.model.done())
        oldest = next(unlisted, None)
        if oldest is not None:
            task = asyncio.create_task(_close(self._built.pop(oldest)), name=f"close {oldest[:100]}")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """Close every model that was built, and what they share."""
        for built in self._built.values():
            await _close(built)
        self._built.clear()
        await asyncio.gather(*self._closing)
        if self._close_shared is not None:
            await self._close_shared()


async def _close(built: _Built) -> None:
    if not built.model.done():
        built.model.cancel()
    elif not built.model.cancelled() and built.model.exception() is None:
        model = built.model.result()
        if isinstance(model, Closes) and not built.offer.borrowed:
            await model.aclose()
