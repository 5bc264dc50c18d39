"""Several logs as one response: a tab that follows many answers takes one of the few connections of its browser."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import NamedTuple

from starlette.types import Receive

from headwater.answers.drain import Drain
from headwater.dialects.native.reader import NamedReader, NativeReader
from headwater.errors import HeadwaterError
from headwater.events import error_event
from headwater.web.response import Delivery, LogResponse, Pace, Pages, logger


class Followed(NamedTuple):
    """One of the logs: its pages, or the frame that is sent in their place."""

    reader: NamedReader
    pages: Pages | None
    instead: bytes = b""


class FollowResponse(LogResponse):
    """Streams several logs to one client, each in its own order, and ends when all of them have ended.

    Each log has a task, which holds one page at most; they take turns to send, so a client that reads slowly slows all
    of them down and costs no memory. What breaks one log off is said in its frame, and the others go on. For the rest
    this is a `LogResponse`, which has sent its status line from the beginning.
    """

    def __init__(self, logs: Sequence[Followed], delivery: Delivery, pace: Pace, leave: Drain | None) -> None:
        super().__init__(lambda _: _no_pages(), NativeReader(""), delivery, pace, leave)
        self._logs = logs
        self._turn = asyncio.Lock()

    async def _deliver(self, receive: Receive) -> None:
        await self._open()
        try:
            async with asyncio.TaskGroup() as tasks:
                for log in self._logs:
                    tasks.create_task(self._follow(log), name="follow")
        except ExceptionGroup as failed:  # an OSError, where the client has gone
            raise failed.exceptions[0] from None
        await self._settled()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _follow(self, log: Followed) -> None:
        if log.pages is None:
            await self._tell(log.instead)
            return
        async with aclosing(log.pages) as pages:
            try:
                async for page in pages:
                    await self._tell(log.reader.feed(page))
            except HeadwaterError as error:
                logger.warning("following a log broke off: %s", error)
                await self._tell(log.reader.broken(error_event(error)))

    async def _tell(self, frames: bytes) -> None:
        async with self._turn:
            await self._settled()
            await self._send_bytes(frames)


async def _no_pages() -> Pages:
    return
    yield ()
