"""A log as a raw ASGI response: one reader, at its own pace, with nothing between the log and the socket.

Theory of operation. Three parties share one `LogResponse`, all on one event loop:

- the *delivery task* (`_deliver`) reads pages from the log and sends their bytes; it alone sends the end of the body;
- the *server's own task* (`__call__`) waits for the client to disconnect, and cleans up;
- one *timer* (`_look`) sends what is due while the log is silent: the status line after `hold`, a heartbeat after
  `heartbeat`. It also ends a client that takes no bytes for `stalled`, and one that must go when the server drains.

States: *waiting* (nothing sent), *started* (status line sent), *ended*. A failure while waiting becomes the dialect's
refusal, with its status; a failure after the start is worded in the stream, or breaks the connection where the dialect
cannot express it. The timer starts the stream at `hold` even without output.

Races. The timer sends from a task of its own (`_aside`), since a callback cannot await; the delivery task awaits that
task before it sends anything else, so bytes never interleave. `_started` is set before the first await of `_open`, so
there is one status line although two parties may open. `_end` may be called by the delivery task's completion, by the
timer or by a drain: it reschedules the one timeout that `__call__` waits under, and only its first call counts.

A task for each open response would cost more memory than the connection; everything timed is therefore a callback.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import NamedTuple, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headwater.answers.drain import Drain
from headwater.dialects.dialect import BEGINNING, Cursor, Dialect, Reader, Unspeakable
from headwater.entries import Entry
from headwater.errors import HeadwaterError, ShuttingDown
from headwater.events import Cached, Ending, Error, Metadata, Start, error_event
from headwater.log.feed import Take
from headwater.web.problems import respond

logger = logging.getLogger(__name__)

Pages = AsyncGenerator[Sequence[Entry], None]


class Direct(Protocol):
    """The server's own end of a response, where nothing stands between: `send.__self__.direct`, if there is one."""

    @property
    def ready(self) -> bool:
        """Whether a part of the body can be written without waiting."""
        ...

    def write(self, body: bytes) -> None:
        """Write a part of the body, which is not empty."""
        ...


class Delivery(NamedTuple):
    """How an answer is delivered to one client."""

    dialect: Dialect
    message_id: str
    headers: Mapping[str, str]
    """Response headers beside those that every stream has."""
    cursor: Cursor = BEGINNING
    """The client's position. At the beginning, a failure before the first token is a failed request."""
    cached: Cached | None = None
    """How the cache has answered the request, if it has."""


class Pace(NamedTuple):
    """The time limits of a response, in seconds."""

    hold: float = 2.0
    """How long the status line waits for the first token, in place of which a failure may come."""
    longest_hold: float = 15.0
    """How long the status line waits at most while a model that failed is retried."""
    heartbeat: float = 10.0
    """Silence after which a comment goes out; proxies cut idle connections, mostly at 60."""
    stalled: float = 120.0
    """How long a client may accept no bytes before its connection is closed; it can resume."""
    spread: float = 5.0
    """Time over which a draining server ends its streams, so that readers do not all reconnect at once."""


class LogResponse(Response):
    """Streams a log to one client in one dialect.

    A client that disconnects ends only its own reading. `leave` begins when the client should read on elsewhere: the
    log is written by another server, and this one drains. While `retrying`, the status line waits for the outcome.
    """

    def __init__(
        self,
        pages: Callable[[Take], Pages],
        reader: Reader,
        delivery: Delivery,
        pace: Pace,
        leave: Drain | None = None,
        retrying: Callable[[], bool] = lambda: False,
    ) -> None:
        # Nothing of Starlette's own response is used but its type, by which FastAPI knows to send it as it is.
        self.background = None
        self.status_code = 200
        self._pages = pages(self.take)
        self._reader = reader
        self._dialect = delivery.dialect
        self._message_id = delivery.message_id
        self._extra = delivery.headers
        self._fresh = delivery.cursor == BEGINNING
        self._pace = pace
        self._leave = leave
        self._retrying = retrying
        self._departure = float("inf")  # when to let the client go, by the loop's clock
        self._head: Sequence[Entry] = ()
        self._direct: Direct | None = None
        self._started = False
        self._sent = 0.0  # when the last send began
        self._sending = False  # whether it has not ended
        self._aside: asyncio.Task[None] | None = None
        """The task of a send that the timer has begun."""
        self._ended = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._send = scope, send
        self._direct = getattr(getattr(send, "__self__", None), "direct", None)
        self._loop = asyncio.get_running_loop()
        self._sent = self._loop.time()
        self._timer = self._loop.call_later(min(self._pace.hold, self._pace.heartbeat), self._look)
        self._begun = self._sent
        cease = self._leave.then(self._depart) if self._leave is not None else None
        deliver = asyncio.create_task(self._deliver(receive), name="deliver")
        try:
            async with asyncio.timeout(None) as self._watch:
                deliver.add_done_callback(self._end)
                await until_disconnected(receive)
        except TimeoutError:
            pass  # `_end` was called; the state of the delivery task tells by which party
        finally:
            self._ended = True
            if cease is not None:
                cease()
            self._timer.cancel()
            await _over(deliver, self._aside)
        if deliver.cancelled():
            if self._loop.time() >= self._departure:
                await self._send_on(receive)
        elif (error := deliver.exception()) is not None and not isinstance(error, OSError):
            raise error  # an OSError means that the client has gone, so there is nobody to report it to

    async def _deliver(self, receive: Receive) -> None:
        async with aclosing(self._pages) as pages:
            try:
                async for page in pages:
                    if self._started:
                        if self._aside is not None:
                            await self._settled()
                        await self._send_bytes(self._reader.feed(page))
                        continue
                    # Until the first token, a failure may still come and determine the status.
                    head = self._head = (*self._head, *page) if self._head else page
                    if _precede_output(head):
                        continue
                    if self._fresh and isinstance(head[-1].event, Error) and _precede_output(head[:-1]):
                        await self._refuse(head[-1].event, receive)
                        return
                    await self._open()
                if not self._started:
                    await self._open()
                await self._settled()
            except HeadwaterError as error:
                await self._break_off(error, receive)
                return
            except Unspeakable as cut:
                if not self._started and cut.instead is not None:
                    await self._refuse(cut.instead, receive)
                else:
                    await self._send_bytes(cut.before)
                return  # without the last chunk: the server then cuts the connection, and the client notices
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def take(self, page: Sequence[Entry]) -> bool:
        """Send a page in the very step that has added it to the log; see `headwater.log.feed.Take`."""
        direct = self._direct
        if not self._started or self._aside is not None or direct is None or not direct.ready:
            return False  # the delivery task does what has to be waited for
        if isinstance(page[-1].event, Ending):
            return False
        try:
            if body := self._reader.feed(page):
                self._sent = self._loop.time()
                direct.write(body)
        except Exception:  # of this client's, and none of the writer's business
            logger.exception("delivering %s broke", self._message_id)
            self._end()
        return True

    async def _open(self) -> None:
        """Send the status line and the entries so far; from now on a failure is part of the stream.

        Raises `Unspeakable` before anything is sent if a refusal can take the place of all that there is.
        """
        head, self._head = self._head, ()
        first, cut = self._reader.open(), None
        try:
            first += self._reader.feed(head) if head else b""
        except Unspeakable as unspeakable:
            if unspeakable.instead is not None and not self._started:
                raise
            first, cut = first + unspeakable.before, unspeakable
        self._started = True
        headers = {"Content-Type": self._dialect.media_type, "Cache-Control": "no-cache, no-transform"}
        if self._scope.get("http_version") == "1.1":
            headers["Connection"] = "keep-alive"  # forbidden in HTTP/2
        headers = {**headers, "X-Accel-Buffering": "no", **self._extra}
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": 200, "headers": raw})
        await self._send_bytes(first)
        if cut is not None:
            raise Unspeakable

    async def _send_bytes(self, body: bytes) -> None:
        if not body:
            return
        self._sent, self._sending = self._loop.time(), True
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        self._sending = False

    async def _settled(self) -> None:
        """Wait until the timer's own send is complete."""
        aside, self._aside = self._aside, None
        if aside is not None:
            await aside

    async def _break_off(self, error: HeadwaterError, receive: Receive) -> None:
        """Report that the log could not be read on: never a silent end."""
        logger.warning("reading %s broke off: %s", self._message_id, error)
        if not self._started:
            await self._refuse(error_event(error), receive)
            return
        try:
            await self._settled()
            last = self._reader.broken(error_event(error))
        except Unspeakable:
            return
        await self._send({"type": "http.response.body", "body": last, "more_body": False})

    async def _send_on(self, receive: Receive) -> None:
        """End this response without an ending, so that the client reads on at a server that takes new connections."""
        if not self._started:
            error = ShuttingDown("this server is shutting down; go on in a moment")
            await self._refuse(error_event(error), receive)
        elif self._dialect.delimited:
            # A stream that stops without an ending is one to resume; any other has to be cut instead.
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _refuse(self, error: Error, receive: Receive) -> None:
        """Answer with the failure and its status; nothing has been sent yet."""
        await respond(self._dialect.refusal(error), self._extra)(self._scope, receive, self._send)

    def _look(self) -> None:
        """Timer: send the status line or a heartbeat that is due, or end a stalled or departing client."""
        now = self._loop.time()
        pace = self._pace
        if now >= self._departure:
            self._end()
            return
        if self._sending:
            if now - self._sent >= pace.stalled:
                logger.info("a client took no bytes for %g s; closed", pace.stalled)
                self._end()
                return
            due = self._sent + pace.stalled
        elif not self._started:
            due = self._begun + pace.hold
            if now >= due and self._retrying() and now < self._begun + pace.longest_hold:
                due = min(now + pace.hold, self._begun + pace.longest_hold)
            elif now >= due:
                self._started = True  # at once: what comes before the task has run must not open a second time
                self._aside = asyncio.create_task(self._open(), name="open")
                due = now + pace.heartbeat
        else:
            due = self._sent + pace.heartbeat
            if now >= due:
                if self._dialect.heartbeat and (self._aside is None or self._aside.done()):
                    self._aside = asyncio.create_task(self._send_bytes(self._dialect.heartbeat), name="heartbeat")
                due = now + pace.heartbeat
        self._timer = self._timer_at(min(due, now + pace.heartbeat, self._departure))

    def _timer_at(self, due: float) -> asyncio.TimerHandle:
        return self._loop.call_at(due, self._look)

    def _depart(self) -> None:
        """The server drains: end the stream at a random moment of the next seconds."""
        now = self._loop.time()
        self._departure = now + random.uniform(0, self._pace.spread)  # noqa: S311 - no secret
        self._timer.cancel()
        self._timer = self._timer_at(self._departure)

    def _end(self, *_: object) -> None:
        """Stop waiting for the client to disconnect."""
        if not self._ended:
            self._ended = True
            self._watch.reschedule(self._loop.time())


def _precede_output(entries: Sequence[Entry]) -> bool:
    """Whether the entries precede the first token, so that a failure after them can still be a refusal."""
    return all(isinstance(entry.event, Start | Metadata) for entry in entries)


async def until_disconnected(receive: Receive) -> None:
    """Wait until the client disconnects; unread parts of the request's body are discarded."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _over(*tasks: asyncio.Task[None] | None) -> None:
    """Cancel the tasks that still run, wait for them, and retrieve the exceptions of all."""
    left = [task for task in tasks if task is not None]
    late = [task for task in left if not task.done()]
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late)
    for task in left:
        if not task.cancelled():
            task.exception()
