"""Observers: code that is notified of what happens to answers, for metrics, traces, hooks and logs.

Nothing is computed for an observer that does not exist: callers test `if observers:` before what costs something, and
no call is made for a token. An observer that raises is logged and never harms an answer.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Literal, NamedTuple

import msgspec

from headwater.answer import Answer
from headwater.events import Continued, Ending, Saved
from headwater.principal import Principal
from headwater.prompt import Prompt

logger = logging.getLogger(__name__)

Outcome = Literal["hit", "joined", "miss", "bypass", "renewal"]
"""How a request met the cache: a finished log, a running one, a new one, or a new one because the cache was skipped. A
generation may also be the renewal of a stored answer, which no request need read."""


class Request(msgspec.Struct, frozen=True):
    """A request that was attached to a log."""

    log: str
    principal: Principal
    prompt: Prompt
    outcome: Outcome
    form: bool = False
    """Whether the log was opened with another wording of the question."""


class Concern(NamedTuple):
    """What the lines of the server's log are about that are written now."""

    log: str
    tenant: str
    prompt: Prompt | None = None
    """What must not stand in them, whoever quotes it."""


CONCERN: ContextVar[Concern | None] = ContextVar("headwater.concern", default=None)
"""Set for each request and each producer of an answer, and for all that they start."""


def concerns(log: str, tenant: str, prompt: Prompt | None = None) -> None:
    """Say that from now on this task is about a log."""
    known = CONCERN.get()
    if prompt is not None or known is None or known.log != log:
        CONCERN.set(Concern(log, tenant, prompt))


class Made(msgspec.Struct, frozen=True):
    """What came of a generation, known without reading its log; times in seconds since the generation began."""

    ending: Ending
    """As the readers in this process saw it."""
    entries: int
    first_token: float | None
    """None where the model said nothing."""
    last_output: float
    duration: float


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

    def attempted(self, request: Request, model: str, way: str) -> None:
        """A model is asked: `way` is empty for the question, else how it goes on behind a break (`Continued.way`)."""

    def answered(self, request: Request, error: str, made: Ending | None) -> None:
        """That attempt ended: with the code of its `error`, or with the ending that the model gave, or by us."""

    def continued(self, request: Request, seam: Continued) -> None:
        """The answer goes on after a break; its first new words have come."""

    def taken_over(self, request: Request, ends: bool) -> None:
        """A log whose server is gone goes on here, or `ends` because nothing can go on with it."""

    def flushed(self, log: str, entries: int, seconds: float) -> None:
        """The store took a flush of so many entries, in so many seconds."""

    def store_failed(self, log: str, error: Exception) -> None:
        """The store could not take a flush within the writer's patience; the readers were given an error."""

    def made(self, request: Request, made: Made) -> None:
        """A generation of this process ended, and its log with it; costs nothing per token, unlike `ended`."""

    def saved(self, tenant: str, saved: Saved) -> None:
        """A stored or a shared answer was read to its ending, in the place of a generation."""

    async def ended(self, request: Request, answer: Answer) -> None:
        """The whole answer of that generation. Awaited by its producer, at most `Observers.limit`."""

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
        self.want_answers = any(type(each).ended is not Observer.ended for each in observers)
        """Whether any of them waits for whole answers; each has to be read from its log."""

    def __bool__(self) -> bool:
        return bool(self._observers)

    def notify(self, event: Callable[[Observer], None]) -> None:
        """Call `event` with each observer."""
        for observer in self._observers:
            try:
                event(observer)
            except Exception:
                logger.exception("observer %s failed", type(observer).__name__)

    def saved(self, tenant: str, saved: Saved | None) -> None:
        """Notify each observer of what a hit or a join has saved; None is neither."""
        if saved is not None:
            self.notify(lambda observer: observer.saved(tenant, saved))

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
