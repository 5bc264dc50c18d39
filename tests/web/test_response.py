"""`LogResponse` alone: races between its timer and the log."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence

from starlette.types import Message

from headwater.dialects.native.dialect import Native
from headwater.entries import Entry, record
from headwater.events import Event, Finish, Start, TextDelta
from headwater.log.feed import Feed
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

    dialect = Native()
    response = LogResponse(lambda _: pages(), dialect.reader("m"), Delivery(dialect, "m", {}), Pace(hold=0.02))
    answering = asyncio.create_task(response({"type": "http", "http_version": "1.1"}, receive, send))
    loop.call_later(0.019, came.set_result, None)
    await asyncio.sleep(0)
    time.sleep(0.03)  # noqa: ASYNC251 - the loop that is too busy to see either in time
    async with asyncio.timeout(5):
        await answering

    assert [message["type"] for message in sent].count("http.response.start") == 1
    body = b"".join(message.get("body", b"") for message in sent)
    assert [body.count(word) for word in (b'"start"', b'"word"', b'"finish"')] == [1, 1, 1]


class Server:
    """The server's end of a response: `send`, and what writes at once while `ready`."""

    def __init__(self) -> None:
        self.direct, self.ready = self, True
        self.sent: list[bytes] = []
        self.written: list[bytes] = []

    async def send(self, message: Message) -> None:
        self.sent.append(message.get("body", b""))

    def write(self, body: bytes) -> None:
        self.written.append(body)


async def waits() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_token_is_written_in_the_step_that_adds_it() -> None:
    """Once the stream has begun, no task wakes up for a token, unless the server must wait for the client."""
    feed, server = Feed(), Server()
    dialect = Native()
    response = LogResponse(
        lambda take: feed.read(0, take=take), dialect.reader("m"), Delivery(dialect, "m", {}), Pace()
    )

    def add(sequence: int, event: Event) -> None:
        feed.entries.append(entry(sequence, event))
        feed.wake()

    async def idle() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    answering = asyncio.create_task(response({"type": "http", "http_version": "1.1"}, waits, server.send))
    await idle()
    add(1, TextDelta("first"))
    await idle()
    add(2, TextDelta("second"))
    assert [b'"second"' in body for body in server.written] == [True]
    server.ready = False
    add(3, TextDelta("third"))
    await idle()
    server.ready = True
    add(4, TextDelta("fourth"))
    assert [b'"fourth"' in body for body in server.written] == [False, True]
    add(5, Finish("stop"))
    feed.done = True
    feed.wake_all()
    async with asyncio.timeout(5):
        await answering
    sent = b"".join(server.sent)
    assert [word in sent for word in (b'"first"', b'"third"', b'"finish"')] == [True, True, True]
    assert b'"second"' not in sent
    assert b'"fourth"' not in sent


async def test_a_client_that_cannot_be_written_to_harms_nobody_else() -> None:
    """What fails in the writer's step ends this response alone, before its end, so that the client notices."""
    feed, server = Feed(), Server()
    dialect = Native()
    response = LogResponse(
        lambda take: feed.read(0, take=take), dialect.reader("m"), Delivery(dialect, "m", {}), Pace()
    )
    answering = asyncio.create_task(response({"type": "http", "http_version": "1.1"}, waits, server.send))
    feed.entries.append(entry(1, TextDelta("first")))
    for _ in range(5):
        await asyncio.sleep(0)
    del server.written
    feed.entries.append(entry(2, TextDelta("second")))
    feed.wake()
    async with asyncio.timeout(5):
        await answering
    assert b"" not in server.sent[1:]
