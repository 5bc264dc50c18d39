"""A log as a raw ASGI response: one reader, at its own pace, with nothing between the log and the socket."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import NamedTuple

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headwater.errors import HeadwaterError, ShuttingDown
from headwater.events import Entry, Error, Metadata, Page, Start
from headwater.web.problems import event_of, problem
from headwater.wires.wire import Unspeakable, Wire

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
    """

    def __init__(
        self,
        pages: Pages,
        wire: Wire,
        headers: dict[str, str],
        *,
        fresh: bool,
        pace: Pace,
        leave: asyncio.Event | None = None,
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
        """Set when the client should go on elsewhere: the log lives, but not here."""
        self._coming: asyncio.Future[Sequence[Entry]] | None = None
        self._sent = 0.0
        self._sending_since: float | None = None
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tasks = {
            asyncio.create_task(self._deliver(scope, receive, send), name="deliver"),
            asyncio.create_task(_until_disconnected(receive), name="disconnect"),
            asyncio.create_task(self._keep_alive(send), name="keep alive"),
        }
        leaving = asyncio.create_task(self._let_go(self._leave), name="let go") if self._leave is not None else None
        tasks |= {leaving} if leaving is not None else set()
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            # The client went away between two of our looks; nobody is left to be told anything.
            if isinstance(error := task.exception(), OSError):
                continue
            task.result()
            assert error is None
        if done == {leaving}:
            await self._send_on(scope, receive, send)

    async def _deliver(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._pages) as pages:
            try:
                head = await self._head(pages)
                if self._fresh and head and isinstance(head[-1].event, Error) and _says_nothing(head[:-1]):
                    await problem(head[-1].event, self._extra)(scope, receive, send)
                    return
                await self._start(scope, send)
                await self._tell(send, head, self._wire.open())
                if self._coming is not None:
                    await self._tell(send, await self._coming)
                async for page in pages:
                    await self._tell(send, page)
            except StopAsyncIteration:
                pass  # the log ended while the first read was still waited for
            except HeadwaterError as error:
                await self._break_off(error, scope, receive, send)
                return
            except Unspeakable:
                return  # without the closing empty chunk: the server then cuts the connection, and the client sees it
            finally:
                if self._coming is not None:
                    self._coming.cancel()
                    await asyncio.gather(self._coming, return_exceptions=True)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _head(self, pages: Pages) -> Sequence[Entry]:
        """What came before the status line had to be decided; a read that still waits is left in `_coming`."""
        head: Sequence[Entry] = ()
        loop = asyncio.get_running_loop()
        decide = loop.time() + self._pace.hold
        while _says_nothing(head):
            self._coming = asyncio.ensure_future(anext(pages))
            await asyncio.wait({self._coming}, timeout=decide - loop.time())
            if not self._coming.done():
                break
            coming, self._coming = self._coming, None
            try:
                page = coming.result()
                head = (*head, *page) if head else page
            except StopAsyncIteration:
                break
        return head

    async def _tell(self, send: Send, page: Sequence[Entry], before: bytes = b"") -> None:
        """Send a page of entries in one write; what comes before an unspeakable ending goes out before it breaks."""
        if self._feed_all is not None and isinstance(page, Page):
            await self._send(send, before + self._feed_all(page))
            return
        frames = [before]
        try:
            for entry in page:
                frames.append(self._wire.feed(entry))  # noqa: PERF401 - what was encoded must survive the exception
        finally:
            await self._send(send, b"".join(frames))

    async def _start(self, scope: Scope, send: Send) -> None:
        headers = {"Content-Type": self._wire.media_type, "Cache-Control": "no-cache, no-transform"}
        if scope.get("http_version") == "1.1":
            headers["Connection"] = "keep-alive"  # forbidden in HTTP/2
        headers = {**headers, "X-Accel-Buffering": "no", **self._extra}
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        self._started = True

    async def _send(self, send: Send, body: bytes) -> None:
        if not body:
            return
        loop = asyncio.get_running_loop()
        self._sending_since = loop.time()
        await send({"type": "http.response.body", "body": body, "more_body": True})
        self._sending_since = None
        self._sent = loop.time()

    async def _break_off(self, error: HeadwaterError, scope: Scope, receive: Receive, send: Send) -> None:
        """The log could not be read on; that is a failure to tell, never a silent end."""
        if not self._started:
            await problem(error, self._extra)(scope, receive, send)
            return
        try:
            last = self._wire.broken(event_of(error))
        except Unspeakable:
            return
        await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _let_go(self, leave: asyncio.Event) -> None:
        await leave.wait()
        await asyncio.sleep(random.uniform(0, self._pace.spread))  # noqa: S311 - no secret

    async def _send_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """End this response so that the client comes back for the rest, to whoever takes new connections."""
        if not self._started:
            await problem(ShuttingDown("this server is shutting down; go on in a moment"), self._extra)(
                scope, receive, send
            )
        elif self._wire.heartbeat:
            # A stream of events that ends without an ending is one to resume; bare text has to be cut instead.
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _keep_alive(self, send: Send) -> None:
        """Fill long silences; give up on a client that takes nothing. Returning ends the response."""
        loop = asyncio.get_running_loop()
        while True:
            since = self._sending_since
            if since is not None and loop.time() - since > self._pace.stalled:
                logger.info("a client took no bytes for %g s; closed", self._pace.stalled)
                return
            quiet = loop.time() - self._sent if self._started else 0.0
            if quiet >= self._pace.heartbeat and since is None and self._wire.heartbeat:
                await self._send(send, self._wire.heartbeat)
                quiet = 0.0
            await asyncio.sleep(max(self._pace.heartbeat - quiet, 0.01))


def _says_nothing(entries: Sequence[Entry]) -> bool:
    """Whether a failure after these still is one before the first token."""
    return all(isinstance(entry.event, Start | Metadata) for entry in entries)


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
