"""An event loop in a thread of its own, shared by all callers of LangChain: in any loop, or in none.

A store belongs to one event loop. LangChain's callers come from any loop, or from threads without one, and a loop may
end between two calls. So the logs are kept here, while a model runs where its caller is, since its connections belong
to that loop.
"""

import asyncio
import contextlib
import functools
import queue
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import aclosing
from typing import Any, TypeVar

T = TypeVar("T")


@functools.cache
def background() -> asyncio.AbstractEventLoop:
    """The loop; its thread starts with the first call, and ends with the process."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="headwater", daemon=True).start()
    return loop


async def there(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that runs in the background."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, background()))


def waited(work: Coroutine[Any, Any, T]) -> T:
    """The same for a caller that blocks its thread."""
    return asyncio.run_coroutine_threadsafe(work, background()).result()


def closes(owner: object, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `close` in the background once its owner is gone, or the process ends; it must not refer to the owner."""

    def soon() -> None:
        if background.cache_info().currsize:
            asyncio.run_coroutine_threadsafe(close(), background())

    weakref.finalize(owner, soon)


async def across(loop: asyncio.AbstractEventLoop, source: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """The items of an async generator that runs in another loop, in one task there, which ends with this generator.

    What waits here is one answer at most, whose size its log bounds.
    """
    here, items = asyncio.get_running_loop(), asyncio.Queue[Any]()
    task = _pump(loop, source, lambda item: here.call_soon_threadsafe(items.put_nowait, item))
    try:
        while (item := await items.get()) is not task:
            yield item
        task.result()
    finally:
        task.cancel()


def blocking(source: AsyncGenerator[T, None]) -> Iterator[T]:
    """The items of an async generator that runs in the background, for a caller that blocks its thread."""
    items = queue.SimpleQueue[Any]()
    task = _pump(background(), source, items.put)
    try:
        while (item := items.get()) is not task:
            yield item
        task.result()
    finally:
        task.cancel()


def _pump(
    loop: asyncio.AbstractEventLoop, source: AsyncGenerator[Any, None], put: Callable[[Any], object]
) -> "Future[None]":
    async def pump() -> None:
        async with aclosing(source):
            async for item in source:
                put(item)

    def done(task: "Future[None]") -> None:
        with contextlib.suppress(RuntimeError):  # the loop that waited has ended
            put(task)

    task = asyncio.run_coroutine_threadsafe(pump(), loop)
    task.add_done_callback(done)
    return task
