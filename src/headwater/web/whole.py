"""An answer as one JSON response, for clients that do not stream: the log is read to its ending first."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headwater.answers.drain import Drain
from headwater.dialects.dialect import Unspeakable
from headwater.entries import Entry
from headwater.errors import HeadwaterError, ShuttingDown
from headwater.events import Error, error_event, unforeseen
from headwater.web.problems import respond
from headwater.web.response import Delivery, Pages, until_disconnected

logger = logging.getLogger(__name__)


class WholeResponse(Response):
    """Reads a log to its ending and sends the answer; a broken answer becomes the dialect's refusal.

    A client that disconnects ends only its own reading. `leave` begins when the client should repeat its request
    elsewhere.
    """

    def __init__(self, pages: Pages, delivery: Delivery, leave: Drain | None = None) -> None:
        self.background = None
        self.status_code = 200
        self._pages = pages
        self._delivery = delivery
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reading = asyncio.create_task(self._read(), name="read whole")
        leaving = asyncio.create_task(until_disconnected(receive), name="client leaves")
        cease = self._leave.then(reading.cancel) if self._leave is not None else lambda: None
        try:
            done, _ = await asyncio.wait({reading, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if reading not in done:
                return
            shutting_down = ShuttingDown("this server is shutting down; ask again in a moment")
            response = self._refusal(shutting_down) if reading.cancelled() else reading.result()
        finally:
            cease()
            reading.cancel()
            leaving.cancel()
            await asyncio.wait({reading, leaving})
        await response(scope, receive, send)

    async def _read(self) -> Response:
        try:
            async with aclosing(self._pages) as pages:
                entries = [entry async for page in pages for entry in page]
        except HeadwaterError as error:
            logger.warning("reading %s broke off: %s", self._delivery.message_id, error)
            return self._refusal(error)
        return self._response(entries)

    def _response(self, entries: Sequence[Entry]) -> Response:
        dialect, headers = self._delivery.dialect, self._delivery.headers
        if entries and isinstance(ending := entries[-1].event, Error):
            return respond(dialect.refusal(ending), headers)
        try:
            body = dialect.whole(self._delivery.message_id, entries)
        except Unspeakable as unspeakable:
            return respond(dialect.refusal(unspeakable.instead or unforeseen()), headers)
        return Response(body, 200, {**headers, "Cache-Control": "no-cache"}, "application/json")

    def _refusal(self, error: HeadwaterError) -> Response:
        return respond(self._delivery.dialect.refusal(error_event(error)), self._delivery.headers)
