"""Observers: code that is notified of what happens to answers, for metrics, traces, hooks and logs.

Nothing is computed for an observer that does not exist: callers test `if observers:` first, and no call is made for
a token. An observer that raises is logged and never harms an answer.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import msgspec

from headwater.answer import Answer
from headwater.principal import Principal
from headwater.prompt import Prompt

logger = logging.getLogger(__name__)

Outcome = Literal["hit", "joined", "miss", "bypass"]
"""How a request met the cache: a finished log, a running one, a new one, or a new one because the cache was skipped."""


class Request(msgspec.Struct, frozen=True):
    """A request that was attached to a log."""

    log: str
    principal: Principal
    prompt: Prompt
    outcome: Outcome


class Observer:
    """Notified of what happens to answers. Subclass it and override what you need: every method here does nothing.

    All methods run on the event loop, so they must return at once; only `ended` may wait. Times are seconds.
    """

    def claimed(self, request: Request) -> None:
        """A request was attached to a log."""

    def first_token(self, request: Request, seconds: float) -> None:
        """The model's first output came, `seconds` after its generation began; retries are included."""

    def retried(self, request: Request, error: Exception, wait: float) -> None:
        """The model failed before its first output and is asked again after `wait` seconds."""

    def flushed(self, log: str, entries: int, seconds: float) -> None:
        """The store took a flush of so many entries, in so many seconds."""

    def store_failed(self, log: str, error: Exception) -> None:
        """The store could not take a flush within the writer's patience; the readers were given an error."""

    async def ended(self, request: Request, answer: Answer) -> None:
        """An answer that was generated in this process ended. Awaited by its producer, at most `Observers.limit`."""

    def reader_came(self, log: str, dialect: str) -> None:
        """A client began to read a log in this process."""

    def reader_left(self, log: str, dialect: str) -> None:
        """That client stopped, with or without the ending."""


class OnFinish(Observer):
    """The observer behind `router(on_finish=…)`: one function that is awaited with each whole or broken answer."""

    def __init__(self, function: Callable[[Answer], Awaitable[None]]) -> None:
        self._function = function

    async def ended(self, request: Request, answer: Answer) -> None:
        await self._function(answer)


class Observers:
    """All observers of a server, notified in order; false when there are none.

    `limit` is how many seconds one observer's `ended` may take.
    """

    def __init__(self, observers: Sequence[Observer] = (), limit: float = 60.0) -> None:
        self._observers = tuple(observers)
        self._limit = limit

    def __bool__(self) -> bool:
        return bool(self._observers)

    def notify(self, event: Callable[[Observer], None]) -> None:
        """Call `event` with each observer."""
        for observer in self._observers:
            try:
                event(observer)
            except Exception:
                logger.exception("observer %s failed", type(observer).__name__)

    async def ended(self, request: Request, answer: Answer) -> None:
        """Notify each observer of an ending, and wait for it within the limit."""
        for observer in self._observers:
            try:
                async with asyncio.timeout(self._limit):
                    await observer.ended(request, answer)
            except TimeoutError:
                logger.error("observer %s took more than %g s over an ending", type(observer).__name__, self._limit)
            except Exception:
                logger.exception("observer %s failed", type(observer).__name__)
