"""Single flight: callers that ask the same question at the same moment share one call and its result."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """The calls under way, by what they are about: a crowd that asks the same costs one call. For one event loop."""

    def __init__(self) -> None:
        self._calls: dict[Hashable, asyncio.Task[T]] = {}

    async def do(self, about: Hashable, call: Callable[[], Awaitable[T]]) -> T:
        """Return or raise what the call does, or what the call under way about the same does."""
        task = self._calls.get(about)
        if task is None:
            task = self._calls[about] = asyncio.create_task(_awaited(call))
            task.add_done_callback(lambda task: self._finished(about, task))
        return await asyncio.shield(task)  # a caller that leaves does not cancel it for the others

    def _finished(self, about: Hashable, task: asyncio.Task[T]) -> None:
        del self._calls[about]
        if not task.cancelled():
            task.exception()  # retrieved here, because all callers may have left


async def _awaited(call: Callable[[], Awaitable[T]]) -> T:
    return await call()
