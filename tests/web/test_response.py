"""`LogResponse` alone: races between its timer and the log."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence

from starlette.types import Message

from headwater.dialects.native import request as native
from headwater.dialects.native.dialect import Native
from headwater.entries import Entry, record
from headwater.events import Event, Finish, Start, TextDelta
from headwater.offsets import Offset
from headwater.web.response import Delivery, LogResponse, Pace


def entry(sequence: int, event: Event) -> Entry:
    return record(Offset(1, sequence), 0.0, event)


async def test_a_first_token_in_the_moment_that_the_wait_for_it_ends() -> None:
    """There is one status line, and each byte is sent once, when both are due in one iteration of a busy event loop."""
    loop = asyncio.get_running_loop()
    came: asyncio.Future[None] = loop.create_future()
    sent: list[Message] = []

    async def pages() -> AsyncGenerator[Sequence[Entry], None]:
        yield [entry(1, Start("m", "model"))]
        await came
        yield [entry(2, TextDelta("word")), entry(3, Finish("stop"))]

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    dialect = Native(native.chat)
    response = LogResponse(pages(), dialect.reader("m"), Delivery(dialect, "m", {}), Pace(hold=0.02))
    answering = asyncio.create_task(response({"type": "http", "http_version": "1.1"}, receive, send))
    loop.call_later(0.019, came.set_result, None)
    await asyncio.sleep(0)
    time.sleep(0.03)  # noqa: ASYNC251 - the loop that is too busy to see either in time
    async with asyncio.timeout(5):
        await answering

    assert [message["type"] for message in sent].count("http.response.start") == 1
    body = b"".join(message.get("body", b"") for message in sent)
    assert [body.count(word) for word in (b'"start"', b'"word"', b'"finish"')] == [1, 1, 1]
