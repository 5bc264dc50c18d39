"""A log as a raw ASGI response: one reader, at its own pace, with nothing between the log and the socket."""

import asyncio
import logging
import math
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import NamedTuple

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headwater.answers.drain import Drain
from headwater.dialects.dialect import Unspeakable, Wire
from headwater.errors import HeadwaterError, ShuttingDown
from headwater.events import Entry, Error, Metadata, Page, Start
from headwater.web.problems import event_of, problem

logger = logging.getLogger(__name__)

Pages = AsyncGenerator[Sequence[Entry], None]


class Pace(NamedTuple):
    """The response's own clocks, in seconds."""

    hold: float = 2.0
    """How long the status line waits for the first event after `start`, which may turn out to be a failure."""
    heartbeat: float = 10.0
    """Silence after which a comment goes out; proxies cut idle connections, mostly at 60."""
    stalled: float = 120.0
    """How long a client may take no bytes at all before its connection is closed; it can come back and resume."""
    spread: float = 5.0
    """Time over which a draining server lets its readers go, so that they do not all come back in one moment."""


class LogResponse(Response):
    """Streams a log to one client in one dialect.

    Until the first byte is out a failure becomes a problem JSON with the right status; afterwards it is said in the
    dialect, or, where that has no word for it, by breaking the connection off. A client that goes away ends only its
    own reading.

    One task tells the log, the server's own waits for the client to go, and everything timed is a callback: an open
    response is to be little more than its connection.
    """

    def __init__(
        self,
        pages: Pages,
        wire: Wire,
        headers: dict[str, str],
        *,
        fresh: bool,
        pace: Pace,
        leave: Drain | None = None,
    ) -> None:
        # Nothing of Starlette's own response is used but its type, by which FastAPI knows to send it as it is.
        self.background = None
        self.status_code = 200
        self._pages = pages
        self._wire = wire
        self._feed_all = getattr(wire, "feed_all", None)
        """How the wire tells a page whose bytes its readers share, if it can."""
        self._extra = headers
        self._fresh = fresh
        """Whether the client has seen nothing of this log yet: then a failure first is a failed request."""
        self._pace = pace
        self._leave = leave
        """Begins when the client should go on elsewhere: the log lives, but not here."""
        self._departure = math.inf
        self._head: Sequence[Entry] = ()
        self._started = False
        self._sent = 0.0
        self._sending_since: float | None = None
        self._aside: asyncio.Task[None] | None = None
        """What a timer has begun to send; whatever comes next waits for it."""
        self._ended = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._send = scope, send
        self._loop = asyncio.get_running_loop()
        self._sent = self._loop.time()
        self._timer = self._loop.call_later(min(self._pace.hold, self._pace.heartbeat), self._look)
        self._begun = self._sent
        cease = self._leave.then(self._depart) if self._leave is not None else None
        deliver = asyncio.create_task(self._deliver(receive), name="deliver")
        try:
            async with asyncio.timeout(None) as self._watch:
                deliver.add_done_callback(self._end)
                await _until_disconnected(receive)
        except TimeoutError:
            pass  # somebody called `_end`; who it was is seen below
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
            raise error  # an OSError is the client gone between two looks; nobody is left to be told anything

    async def _deliver(self, receive: Receive) -> None:
        async with aclosing(self._pages) as pages:
            try:
                async for page in pages:
                    if self._started:
                        if self._aside is not None:
                            await self._settled()
                        await self._write(b"", page)
                        continue
                    # Until something is said, a failure that may still come decides about the status.
                    head = self._head = (*self._head, *page) if self._head else page
                    if _says_nothing(head):
                        continue
                    if self._fresh and isinstance(head[-1].event, Error) and _says_nothing(head[:-1]):
                        await problem(head[-1].event, self._extra)(self._scope, receive, self._send)
                        return
                    await self._open()
                if not self._started:
                    await self._open()
                await self._settled()
            except HeadwaterError as error:
                await self._break_off(error, receive)
                return
            except Unspeakable:
                return  # without the closing empty chunk: the server then cuts the connection, and the client sees it
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _open(self) -> None:
        """Send the status line and what there is; from now on a failure is one of the stream."""
        self._started = True
        headers = {"Content-Type": self._wire.media_type, "Cache-Control": "no-cache, no-transform"}
        if self._scope.get("http_version") == "1.1":
            headers["Connection"] = "keep-alive"  # forbidden in HTTP/2
        headers = {**headers, "X-Accel-Buffering": "no", **self._extra}
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": 200, "headers": raw})
        head, self._head = self._head, ()
        await self._write(self._wire.open(), head)

    async def _write(self, before: bytes, page: Sequence[Entry]) -> None:
        """Send a page of entries in one write; what comes before an unspeakable ending goes out before it breaks."""
        if self._feed_all is not None and isinstance(page, Page):
            await self._send_bytes(before + self._feed_all(page))
            return
        frames = [before]
        try:
            for entry in page:
                frames.append(self._wire.feed(entry))  # noqa: PERF401 - what was encoded must survive the exception
        finally:
            await self._send_bytes(b"".join(frames))

    async def _send_bytes(self, body: bytes) -> None:
        if not body:
            return
        self._sending_since = self._loop.time()
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        self._sending_since = None
        self._sent = self._loop.time()

    async def _settled(self) -> None:
        """Wait for what a timer has begun to send."""
        aside, self._aside = self._aside, None
        if aside is not None:
            await aside

    async def _break_off(self, error: HeadwaterError, receive: Receive) -> None:
        """The log could not be read on; that is a failure to tell, never a silent end."""
        if not self._started:
            await problem(error, self._extra)(self._scope, receive, self._send)
            return
        try:
            await self._settled()
            last = self._wire.broken(event_of(error))
        except Unspeakable:
            return
        await self._send({"type": "http.response.body", "body": last, "more_body": False})

    async def _send_on(self, receive: Receive) -> None:
        """End this response so that the client comes back for the rest, to whoever takes new connections."""
        if not self._started:
            error = ShuttingDown("this server is shutting down; go on in a moment")
            await problem(error, self._extra)(self._scope, receive, self._send)
        elif self._wire.heartbeat:
            # A stream of events that ends without an ending is one to resume; bare text has to be cut instead.
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def _look(self) -> None:
        """See what is due: the status line, a heartbeat, or the end of a client that takes nothing or is to go."""
        now = self._loop.time()
        pace, since = self._pace, self._sending_since
        if now >= self._departure:
            self._end()
            return
        if since is not None:
            if now - since >= pace.stalled:
                logger.info("a client took no bytes for %g s; closed", pace.stalled)
                self._end()
                return
            due = since + pace.stalled
        elif not self._started:
            due = self._begun + pace.hold
            if now >= due:
                self._started = True  # at once: what comes before the task has run must not open a second time
                self._aside = asyncio.create_task(self._open(), name="open")
                due = now + pace.heartbeat
        else:
            due = self._sent + pace.heartbeat
            if now >= due:
                if self._wire.heartbeat and (self._aside is None or self._aside.done()):
                    self._aside = asyncio.create_task(self._send_bytes(self._wire.heartbeat), name="heartbeat")
                due = now + pace.heartbeat
        self._timer = self._timer_at(min(due, now + pace.heartbeat, self._departure))

    def _timer_at(self, due: float) -> asyncio.TimerHandle:
        return self._loop.call_at(due, self._look)

    def _depart(self) -> None:
        """The server drains: go, at some moment of the next seconds."""
        now = self._loop.time()
        self._departure = now + random.uniform(0, self._pace.spread)  # noqa: S311 - no secret
        self._timer.cancel()
        self._timer = self._timer_at(self._departure)

    def _end(self, *_: object) -> None:
        """Stop waiting for the client to go."""
        if not self._ended:
            self._ended = True
            self._watch.reschedule(self._loop.time())


def _says_nothing(entries: Sequence[Entry]) -> bool:
    """Whether a failure after these still is one before the first token."""
    return all(isinstance(entry.event, Start | Metadata) for entry in entries)


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _over(*tasks: asyncio.Task[None] | None) -> None:
    """End the tasks that have not ended, and hear out those that have."""
    left = [task for task in tasks if task is not None]
    late = [task for task in left if not task.done()]
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late)
    for task in left:
        if not task.cancelled():
            task.exception()
