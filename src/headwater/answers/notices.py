"""Notices: how the producer of an answer, its writer and its readers notify observers; nothing where there are none."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import cast

from headwater.answer import Answer, Fold
from headwater.answers.continuing import lost
from headwater.answers.source import Source
from headwater.entries import Entry
from headwater.errors import HeadwaterError, StoreError
from headwater.events import Continued, Ending, Error, Finish, Saved, Stop
from headwater.log.store import Lease, lost_ending
from headwater.log.writer import Flushed, StoreFailed, Writer
from headwater.observe import Made, Observers, Request, concerns
from headwater.offsets import ORIGIN

Pages = AsyncGenerator[Sequence[Entry], None]


class Notices:
    """Notifies observers of what happens to one generation."""

    def __init__(self, observers: Observers, request: Request) -> None:
        self._observers = observers
        self._request = request
        self._first_token: float | None = None
        self.joined = 0
        """How many requests have joined the answer in this process."""

    def first_token(self, seconds: float) -> None:
        """The model's first output came, so many seconds after the generation began."""
        request, self._first_token = self._request, seconds
        if self._observers:
            self._observers.notify(lambda observer: observer.first_token(request, seconds))

    def retried(self, error: HeadwaterError, wait: float) -> None:
        """The model failed before its first output, and is asked again."""
        request = self._request
        if self._observers:
            self._observers.notify(lambda observer: observer.retried(request, error, wait))

    def attempted(self, source: Source) -> None:
        """A model is asked."""
        request, model, way = self._request, source.prompt.model, source.way or ""
        if self._observers:
            self._observers.notify(lambda observer: observer.attempted(request, model, way))

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
        request = self._request
        if self._observers:
            self._observers.notify(lambda observer: observer.continued(request, seam))

    def made(self, writer: Writer, last_output: float, duration: float) -> None:
        """The generation has ended, and its log with it."""
        if self._observers:
            request, entries = self._request, writer.entries
            last = entries[-1].event if entries else None
            ending = last if isinstance(last, Finish | Stop | Error) else writer.failure or lost()
            made = Made(ending, len(entries), self._first_token, last_output, duration)
            self._observers.notify(lambda observer: observer.made(request, made))
            if self.joined:
                saved = _saved(ending, 0.0)
                self._observers.notify(lambda observer: observer.saved(request.principal.tenant, saved, self.joined))


def _saved(ending: Ending, seconds: float) -> Saved:
    return Saved.of(ending.usage if isinstance(ending, Finish) else None, seconds)


def notify_claimed(observers: Observers, request: Request, joins: Notices | None) -> None:
    """Notify observers of a request, and the generation that it `joins` in this process."""
    concerns(request.log, request.principal.tenant, request.prompt)
    if observers:
        observers.notify(lambda observer: observer.claimed(request))
    if joins is not None:
        joins.joined += 1


def hooks(observers: Observers, log: str) -> tuple[Flushed | None, StoreFailed | None]:
    """What a writer calls to notify observers of its flushes; nothing when there are no observers."""
    if not observers:
        return None, None

    def flushed(entries: int, seconds: float) -> None:
        observers.notify(lambda observer: observer.flushed(log, entries, seconds))

    def store_failed(error: StoreError) -> None:
        observers.notify(lambda observer: observer.store_failed(log, error))

    return flushed, store_failed


def observed(
    pages: Pages, observers: Observers, reader: tuple[str, str], saves: tuple[str, bool] | None = None
) -> Pages:
    """The same pages; observers are notified when they are iterated and closed, by whoever does it with `aclosing`.

    `reader` is the log and the dialect; `saves` is the tenant whose generation the pages take the place of, and
    whether that is a stored one.
    """
    return cast("Pages", _Observed(pages, observers, reader, saves))


class _Observed:
    """Gives its own iterator to a loop: a second generator around the pages would cost time for each of them.

    An answer that saves something is read to its ending, and a stored one has few pages.
    """

    def __init__(
        self, pages: Pages, observers: Observers, reader: tuple[str, str], saves: tuple[str, bool] | None
    ) -> None:
        self._pages = pages
        self._observers = observers
        self._reader = reader
        self._saves = saves
        self._came = False

    def __aiter__(self) -> Pages:
        self._came = True
        self._observers.notify(lambda observer: observer.reader_came(*self._reader))
        return self._pages if self._saves is None else self._read_on(*self._saves)

    async def _read_on(self, tenant: str, stored: bool) -> Pages:
        last: Entry | None = None
        async for page in self._pages:
            last = page[-1] if page else last
            yield page
        if last is not None and isinstance(last.event, Finish):
            saved = _saved(last.event, last.at if stored else 0.0)
            self._observers.notify(lambda observer: observer.saved(tenant, saved, 1))

    async def aclose(self) -> None:
        came, self._came = self._came, False
        try:
            await self._pages.aclose()
        finally:
            if came:
                self._observers.notify(lambda observer: observer.reader_left(*self._reader))


async def written(writer: Writer, lease: Lease) -> Answer:
    """The answer as readers in this process saw it, its ending included, whoever wrote that."""
    fold = Fold()
    async with aclosing(writer.read(ORIGIN, follow=False)) as pages:
        async for page in pages:
            for entry in page:
                fold.feed(entry)
    answer = fold.answer()
    if answer.ending is None:
        elapsed = answer.timing.duration or 0.0
        fold.feed(writer.local_ending or lost_ending(lease.epoch, answer.offset.sequence, elapsed))
        answer = fold.answer()
    return answer
