"""One question at a time: who asks what is just being asked waits for the same answer."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Calls that are on their way, by what they are about; a crowd that asks the same costs one of them."""

    def __init__(self) -> None:
        self._asked: dict[Hashable, asyncio.Task[T]] = {}

    async def ask(self, about: Hashable, call: Callable[[], Awaitable[T]]) -> T:
        """What the call returns or raises, if it is not being made already; else what that one does."""
        asked = self._asked.get(about)
        if asked is None:
            asked = self._asked[about] = asyncio.create_task(_made(call))
            asked.add_done_callback(lambda done: self._answered(about, done))
        return await asyncio.shield(asked)  # whoever leaves does not take it from the others

    def _answered(self, about: Hashable, done: asyncio.Task[T]) -> None:
        del self._asked[about]
        if not done.cancelled():
            done.exception()  # heard, also when everybody who asked has left


async def _made(call: Callable[[], Awaitable[T]]) -> T:
    return await call()
