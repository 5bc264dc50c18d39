"""Notices: how the producer of an answer, its writer and its readers notify observers; nothing where there are none."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import NamedTuple, cast

from headwater.answer import Answer, fold
from headwater.answers.continuing import lost
from headwater.answers.source import Source
from headwater.entries import Entry
from headwater.errors import HeadwaterError, StoreError
from headwater.events import Continued, Ending, Error, Finish, Saved, Stop
from headwater.log.store import Lease, lost_ending
from headwater.log.writer import Flushed, StoreFailed, Writer
from headwater.observe import Made, Observers, Request

Pages = AsyncGenerator[Sequence[Entry], None]


class Notices:
    """Notifies observers of what happens to one generation."""

    def __init__(self, observers: Observers, request: Request) -> None:
        self._observers = observers
        self._request = request
        self._first_token: float | None = None

    def first_token(self, seconds: float) -> None:
        """The model's first output came, so many seconds after the generation began."""
        self._first_token = seconds
        self._observers.notify(lambda observer: observer.first_token(self._request, seconds))

    def retried(self, error: HeadwaterError, wait: float) -> None:
        """The model failed before its first output, and is asked again."""
        self._observers.notify(lambda observer: observer.retried(self._request, error, wait))

    def attempted(self, source: Source) -> None:
        """A model is asked."""
        model, way = source.prompt.model, source.way or ""
        self._observers.notify(lambda observer: observer.attempted(self._request, model, way))

    def answered(self, pump: asyncio.Task[Ending]) -> None:
        """The attempt that ran in this task has ended."""
        if self._observers:
            request, ended = self._request, pump.done() and not pump.cancelled()
            failure = pump.exception() if ended else None
            ending = pump.result() if ended and failure is None else None
            if isinstance(failure, HeadwaterError):
                error = failure.code
            else:
                error = ending.code if isinstance(ending, Error) else type(failure).__name__ if failure else ""
            self._observers.notify(lambda observer: observer.answered(request, error, ending))

    def continued(self, seam: Continued) -> None:
        """The answer goes on after a break."""
        self._observers.notify(lambda observer: observer.continued(self._request, seam))

    def made(self, writer: Writer, last_output: float, duration: float) -> None:
        """The generation has ended, and its log with it."""
        if self._observers:
            request, entries = self._request, writer.entries
            last = entries[-1].event if entries else None
            ending = last if isinstance(last, Finish | Stop | Error) else writer.failure or lost()
            made = Made(ending, len(entries), self._first_token, last_output, duration)
            self._observers.notify(lambda observer: observer.made(request, made))


def hooks(observers: Observers, log: str) -> tuple[Flushed | None, StoreFailed | None]:
    """What a writer calls to notify observers of its flushes; nothing when there are no observers."""
    if not observers:
        return None, None
    flushes = _Flushes(observers, log)
    return flushes.flushed, flushes.failed


class _Flushes:
    """Notifies observers of one log's flushes; smaller than two closures, and every open answer has one."""

    __slots__ = ("_log", "_observers")

    def __init__(self, observers: Observers, log: str) -> None:
        self._observers = observers
        self._log = log

    def flushed(self, entries: int, seconds: float) -> None:
        self._observers.notify(lambda observer: observer.flushed(self._log, entries, seconds))

    def failed(self, error: StoreError) -> None:
        self._observers.notify(lambda observer: observer.store_failed(self._log, error))


class Saving(NamedTuple):
    """Whose generation the pages of a stored or shared answer take the place of, and whether they are stored ones."""

    tenant: str
    stored: bool


def observed(pages: Pages, observers: Observers, log: str, dialect: str, saving: Saving | None) -> Pages:
    """The same pages; observers are notified when they are iterated and closed, by whoever does it with `aclosing`."""
    return cast("Pages", _Observed(pages, observers, (log, dialect), saving))


class _Observed:
    """Gives the pages' own iterator to a loop, since one around it would cost time for each page.

    Only of an answer that saves something is the ending looked at. It has few pages: a stored one because they are
    long, a running one of this process because its reader takes them (`headwater.log.feed.Take`).
    """

    __slots__ = ("_came", "_last", "_observers", "_pages", "_reader", "_saving")

    def __init__(self, pages: Pages, observers: Observers, reader: tuple[str, str], saving: Saving | None) -> None:
        self._pages = pages
        self._observers = observers
        self._reader = reader
        self._saving = saving
        self._came = False
        self._last: Entry | None = None

    def __aiter__(self) -> AsyncIterator[Sequence[Entry]]:
        self._came = True
        self._observers.notify(lambda observer: observer.reader_came(*self._reader))
        return self._pages if self._saving is None else self

    async def __anext__(self) -> Sequence[Entry]:
        try:
            page = await self._pages.__anext__()
        except StopAsyncIteration:
            self._notify_saved()
            raise
        self._last = page[-1]
        return page

    async def aclose(self) -> None:
        came, self._came = self._came, False
        try:
            await self._pages.aclose()
        finally:
            if came:
                self._observers.notify(lambda observer: observer.reader_left(*self._reader))

    def _notify_saved(self) -> None:
        last, saving = self._last, self._saving
        if saving is not None and last is not None and isinstance(last.event, Finish):
            self._observers.saved(saving.tenant, Saved.of(last.event.usage, last.at if saving.stored else 0.0))


def written(writer: Writer, lease: Lease) -> Answer:
    """The answer as readers in this process saw it, its ending included, whoever wrote that."""
    entries = writer.entries
    if not (entries and isinstance(entries[-1].event, Ending)):
        at = entries[-1].at if entries else 0.0
        entries = [*entries, writer.local_ending or lost_ending(lease.epoch, len(entries), at)]
    return fold(entries)
