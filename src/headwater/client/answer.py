"""One answer being read: a position in its log, and whatever it takes to go on from there."""

from collections import deque
from types import TracebackType
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from headwater.client.connection import Connection, Server
from headwater.client.failures import NotHeadwater, Unreachable, is_transient, said
from headwater.client.frames import Frame
from headwater.client.patience import Attempts, Notice, Patience
from headwater.errors import Expired, HeadwaterError, NoSuchLog, RequestError
from headwater.events import Ending, Error, Event, Start, State, TextDelta
from headwater.offsets import ORIGIN, Offset, parse


class Persistence(NamedTuple):
    """How an answer holds on to its log."""

    patience: Patience
    notice: Notice | None = None


class LogState(msgspec.Struct):
    """A log as one JSON object, in as far as it matters here."""

    id: str
    state: State
    text: str
    offset: str
    ending: Ending | None = None
    model: str | None = None


_decode = msgspec.json.Decoder(Event).decode


class Answer:
    """The events of one answer, from `Start` to its ending; iterate over it.

    A connection that breaks or closes without an ending is resumed where it stood. Iterating raises `Expired` or
    `NoSuchLog` when the log is gone, `Unreachable` when the server stays away: `offset` and `location` then say where
    `Client.attach` can go on. Breaking out of the loop loses nothing, a second loop continues; one at a time.
    """

    def __init__(
        self,
        server: Server,
        location: str,
        persistence: Persistence,
        *,
        after: Offset = ORIGIN,
        opened: tuple[httpx.Response, Connection] | None = None,
    ) -> None:
        self.id = urlsplit(location).path.rpartition("/")[2]
        self.location = location if "/" in location else f"/api/streams/{self.id}"
        self.cache_status = ""
        """The `Cache-Status` of the request that asked (RFC 9211): `hit`, `collapsed`, or forwarded to the model."""
        self.age: int | None = None
        """Seconds since the answer was finished; None unless it comes from the cache."""
        self.offset = after
        """Where the last event that was given out stands."""
        self.ending: Ending | None = None
        self.model: str | None = None
        # Only the id is taken from the location: behind a proxy that maps paths, the base URL is what is right.
        self._path = f"/api/streams/{quote(self.id, safe='~')}"
        self._server = server
        self._persistence = persistence
        self._attempts = Attempts(persistence.patience, persistence.patience.attempts, persistence.notice)
        self._connection: Connection | None = None
        self._received = after
        self._complete = False
        self._ready: deque[tuple[Offset | None, Event]] = deque()
        self._texts: list[str] = []
        if opened is not None:
            response, self._connection = opened
            age = response.headers.get("age", "")
            self.age = int(age) if age.isascii() and age.isdigit() else None
            self.cache_status = response.headers.get("cache-status", "")

    @property
    def text(self) -> str:
        """The text of all events given out so far."""
        return "".join(self._texts)

    def __aiter__(self) -> "Answer":
        return self

    async def __anext__(self) -> Event:
        while not self._ready:
            if self._complete:
                raise StopAsyncIteration
            await self._advance()
        offset, event = self._ready.popleft()
        self.offset = offset or self.offset
        match event:
            case Start(_, model):
                self.model = model
            case TextDelta(text):
                self._texts.append(text)
            case _ if isinstance(event, Ending):
                self.ending = event
            case _:
                pass
        return event

    async def connect(self) -> None:
        """Connect now and not at the first read, so that a log that is not there is told at once.

        Raises `NoSuchLog`, `Expired`, `Unreachable` or another refusal of the server.
        """
        while self._connection is None and not self._complete:
            await self._advance()

    async def stop(self) -> State:
        """End the answer on the server, if no other subject wants it; returns the state reached, after 2 s at most.

        `open` means that others still want it, or that the end takes longer. The events go on until the ending.
        """
        patience, notice = self._persistence
        attempts = Attempts(patience, patience.requests, notice)
        reached = await attempts.persist(lambda: self._server.get("POST", f"{self._path}/stop", LogState))
        return reached.state

    async def aclose(self) -> None:
        """Cease reading, for now or for good; the answer goes on being written on the server."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.aclose()

    async def __aenter__(self) -> "Answer":
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.aclose()

    async def _advance(self) -> None:
        """Read once, or connect again; after a failure that may pass, wait."""
        try:
            if self._connection is None:
                await self._resume()
            else:
                self._take(await self._connection.read())
        except HeadwaterError as failure:
            if self._connection is not None:
                self._attempts.retry = self._connection.retry
            await self.aclose()
            if not is_transient(failure):
                raise
            await self._attempts.after(failure)
        if self._complete:
            await self.aclose()

    async def _resume(self) -> None:
        # With no event yet there is no id to send: the whole log comes, and what was seen of it is passed over.
        seen = {} if self._received == ORIGIN else {"Last-Event-ID": str(self._received)}
        try:
            _, connection = await self._server.stream("GET", self._path, seen)
        except NotHeadwater as strange:
            gone = {404: NoSuchLog, 410: Expired}.get(strange.status)
            raise strange if gone is None else gone(str(strange)) from strange
        except (NoSuchLog, Expired, Unreachable):
            raise
        except HeadwaterError:
            # To a reader who has seen nothing, the server tells a log that failed before its first token as a problem.
            if seen or not await self._end_from_state():
                raise
        else:
            self._connection = connection
            if connection is None and not await self._end_from_state():
                raise Unreachable("the server has nothing more of an answer that has not ended")

    async def _end_from_state(self) -> bool:
        """Take the ending from the log's state; False when there is none, or events before it that were not seen."""
        state = await self._server.get("GET", self._path, LogState)
        if state.ending is None:
            return False
        if self._received == ORIGIN:
            if state.text or not isinstance(state.ending, Error):
                return False  # there is more to read than a state tells
            self._ready.append((None, Start(state.id, state.model or "")))
        else:
            self._texts = [state.text]
        self._received = _place(state.offset)
        self._ready.append((self._received, state.ending))
        self._complete = True
        return True

    def _take(self, frames: list[Frame]) -> None:
        for frame in frames:
            event = _event(frame.data)
            offset = _place(frame.id) if frame.id else None
            if offset is not None:
                if offset <= self._received:
                    continue  # a full replay, told again
                self._received = offset
                self._attempts.progress()
            elif isinstance(event, Error) and event.retryable:
                # No entry: the log could not be read on, which says nothing about the answer itself.
                raise said(event)
            if event is not None:
                self._ready.append((offset, event))
            if isinstance(event, Ending):
                self._complete = True
                return


def _event(data: str) -> Event | None:
    """The event of a frame; None for one that a newer server knows and this client does not."""
    try:
        return _decode(data)
    except msgspec.ValidationError:
        return None
    except msgspec.DecodeError as error:
        raise NotHeadwater(f"the stream holds something else than events: {data[:100]!r}") from error


def _place(written: str) -> Offset:
    try:
        return parse(written)
    except RequestError as error:
        raise NotHeadwater(f"the stream has an id that is not an offset: {written[:40]!r}") from error
