"""One reader of a log: its offset, and reconnecting until the ending has arrived."""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from headwater.answer import Answer as Folded
from headwater.answer import Fold, ToolCall
from headwater.client.connection import JSON, Connection, Server, written
from headwater.client.failures import NotHeadwater, Unreachable, failure_of, is_transient, unexpected
from headwater.client.frames import Frame
from headwater.client.patience import Attempts, Persistence
from headwater.entries import decode
from headwater.errors import Expired, HeadwaterError, NoSuchLog, RequestError
from headwater.events import Cached, Continued, Ending, Error, Event, Start, State, Unknown
from headwater.offsets import ORIGIN, Offset, parse


class LogState(msgspec.Struct):
    """The JSON state of a log, as far as the client needs it. An older server leaves out the last fields."""

    id: str
    state: State
    text: str
    offset: str
    ending: Ending | None = None
    model: str | None = None
    reasoning: str = ""
    tools: tuple[ToolCall, ...] = ()
    metadata: dict[str, Any] = {}
    continued: tuple[Continued, ...] = ()


class Reader:
    """Receives the events of one log, and connects again until the ending has arrived.

    A server that died may have sent more than it had stored. Where the log goes on, the reader then reads it again from
    its beginning, in silence, and the fold becomes what that adds up to: exact, and nothing is kept for it meanwhile.
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
        self.age: int | None = None
        self.cached: Cached | None = None
        self.offset = after
        # Only the id is taken from the location: a proxy may map paths, and then the base URL is the right one.
        self._path = f"/api/streams/{quote(self.id, safe='~')}"
        self._server = server
        self._persistence = persistence
        self._attempts = Attempts(persistence, persistence.patience.attempts)
        self._connection: Connection | None = None
        self._received = after
        self._complete = False
        self._again: Fold | None = None
        """What a second reading from the beginning has brought, until it reaches the seam that caused it."""
        self._seam = ORIGIN
        self._ready: deque[tuple[Offset | None, Event]] = deque()
        self.fold = Fold()
        self._turn = asyncio.Lock()  # a step that was cancelled from another thread may still be ending
        if opened is not None:
            response, self._connection = opened
            age = response.headers.get("age", "")
            self.age = int(age) if age.isascii() and age.isdigit() else None
            self.cache_status = response.headers.get("cache-status", "")

    @classmethod
    async def ask(
        cls,
        server: Server,
        path: str,
        fields: Mapping[str, Any],
        headers: Mapping[str, str],
        persistence: Persistence,
    ) -> Self:
        """Send a question, again while the server cannot be reached, and read its answer."""
        headers, body = {"Content-Type": JSON, **headers}, written(fields)
        response, connection = await persistence.request(lambda: server.stream("POST", path, headers, body))
        location = response.headers.get("location")
        if location is None or connection is None:
            await response.aclose()
            raise unexpected(response.request, "answered without a Location header")
        return cls(server, location, persistence, opened=(response, connection))

    @property
    def ready(self) -> bool:
        """Whether `next` has an event."""
        return bool(self._ready)

    async def fill(self) -> bool:
        """Wait until an event is ready. False after the ending; raises as iterating over an answer does."""
        async with self._turn:
            while not self._ready and not self._complete:
                await self._advance()
        return self.ready

    def next(self) -> Event:
        """Take the next event that is ready."""
        offset, event = self._ready.popleft()
        self.offset = offset or self.offset
        if isinstance(event, Start):
            self.cached = event.cache
        self.fold.add(event)
        return event

    async def connect(self) -> None:
        """Connect now rather than at the first read, so that a missing log raises here."""
        while self._connection is None and not self._complete:
            await self._advance()

    async def stop(self) -> State:
        """Stop the answer on the server; see `Answer.stop`."""
        reached = await self._persistence.request(lambda: self._server.get("POST", f"{self._path}/stop", LogState))
        return reached.state

    async def aclose(self) -> None:
        """Close the connection; a later read connects again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.aclose()

    async def _advance(self) -> None:
        """Read once, or connect again; wait after a transient failure and raise any other."""
        try:
            if self._connection is None:
                await self._resume()
            elif not self._take(await self._connection.read()):
                await self.aclose()
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
        # Before the first event there is no id to send.
        seen = {} if self._received == ORIGIN else {"Last-Event-ID": str(self._received)}
        try:
            _, connection = await self._server.stream("GET", self._path, seen)
        except NotHeadwater as strange:
            gone = {404: NoSuchLog, 410: Expired}.get(strange.status)
            raise strange if gone is None else gone(str(strange)) from strange
        except (NoSuchLog, Expired, Unreachable):
            raise
        except HeadwaterError:
            # A log that failed before its first token is problem JSON to a reader from the beginning.
            if seen or not await self._end_from_state():
                raise
        else:
            self._connection = connection
            if connection is None and not await self._end_from_state():
                raise Unreachable("the server has nothing more of an answer that has not ended")

    async def _end_from_state(self) -> bool:
        """Take the ending from the log's JSON state. False if it has none, or if earlier events must be read first."""
        state = await self._server.get("GET", self._path, LogState)
        if state.ending is None:
            return False
        if self._received == ORIGIN:
            if state.text or state.reasoning or state.tools or not isinstance(state.ending, Error):
                return False
            self._ready.append((None, Start(state.id, state.model or "")))
        else:
            content = state.text, state.reasoning, state.tools, state.metadata
            self.fold = Fold(Folded(state.id, state.model, "open", *content, continued=state.continued))
        self._received = _place(state.offset)
        self._ready.append((self._received, state.ending))
        self._complete = True
        return True

    def _take(self, frames: list[Frame]) -> bool:
        """Take frames in; whether their connection has more to say."""
        for frame in frames:
            offset = _place(frame.id) if frame.id else None
            event = _event(frame.data)
            if offset is not None:
                if offset <= self._received:
                    continue  # received before: this is a replay from the beginning
                rewind = event.rewind if isinstance(event, Continued) and offset > self._seam else ""
                if rewind and _place(rewind) < self._received:
                    self._again, self._seam, self._received = Fold(), offset, ORIGIN
                    return False
                self._received = offset
                self._attempts.progress()
            elif isinstance(event, Error) and event.retryable:
                # Without an id it is no entry of the log: the server could not read on, and the answer may be whole.
                raise failure_of(event)
            if self._again is not None and offset is not None:
                if offset < self._seam:
                    if event is not None:
                        self._again.add(event)
                    continue
                self.fold, self._again = self._again, None
            if event is not None:
                self._ready.append((offset, event))
            if isinstance(event, Ending):
                self._complete = True
                return False
        return True


def _event(data: str) -> Event | None:
    """The event of a frame; None for an event of a newer server that this client does not know."""
    try:
        event = decode(data.encode())
    except ValueError as error:
        raise NotHeadwater(f'a frame of the stream is not an event: "{data[:100]}"') from error
    return None if isinstance(event, Unknown) else event


def _place(written: str) -> Offset:
    try:
        return parse(written)
    except RequestError as error:
        raise NotHeadwater(f'a frame of the stream has an id that is not an offset: "{written[:40]}"') from error
