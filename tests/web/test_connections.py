"""Connections as old and odd clients make them: HTTP/1.0, half-closed, kept alive. Raw sockets, byte for byte."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from serving import Headwater, chat, headwater, parse, post_chat, serving, text_of, until
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from headwater.cli.connection import Connection
from headwater.events import Finish, Stop, TextDelta, ToolCallEnd, ToolCallStart
from headwater.models.scripted import SILENCE, Scripted
from headwater.observe import Observer
from headwater.web.response import Pace

CHAT = "/api/stream/completion/chat"
HELLO = [TextDelta("Hel"), TextDelta("lo"), Finish("stop")]
BODY = json.dumps(chat()).encode()


class Socket(NamedTuple):
    """One raw connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, method: str, path: str, *, version: str = "1.1", body: bytes = b"", **headers: str) -> None:
        """Send one request."""
        lines = [f"{method} {path} HTTP/{version}", "Host: localhost"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        """The status and the headers of the next response."""
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        return int(first.split()[1]), {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        async with asyncio.timeout(10):
            return await self.reader.read()


@asynccontextmanager
async def connected(server: Headwater) -> AsyncGenerator[Socket, None]:
    """A raw connection to the server."""
    reader, writer = await asyncio.open_connection(server.client.base_url.host, server.client.base_url.port)
    try:
        yield Socket(reader, writer)
    finally:
        writer.transport.abort()


def unchunked(body: bytes) -> bytes:
    """The content of a body in chunks."""
    content = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        content, body = content + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return content


# ---- HTTP/1.0


@pytest.mark.parametrize("connection", ["close", "keep-alive", ""])
async def test_http_1_0_gets_a_stream_that_ends_with_its_connection(connection: str) -> None:
    """nginx asks its upstreams in 1.0 by default, and 1.0 has no chunks (RFC 9112 §7.1)."""
    async with headwater(Scripted(HELLO)) as server, connected(server) as socket:
        await socket.ask("POST", CHAT, version="1.0", body=BODY, **({"Connection": connection} if connection else {}))
        status, headers = await socket.head()
        body = await socket.rest()
        whole = await post_chat(server.client)

    assert (status, headers["connection"]) == (200, "close")
    assert "transfer-encoding" not in headers
    assert "content-length" not in headers
    assert text_of(parse(body)) == "Hello"
    assert parse(body)[1:] == parse(whole.content)[1:]


async def test_http_1_0_gets_each_token_as_it_comes() -> None:
    """Without chunks there is no need to wait."""
    gate = asyncio.Event()
    model = Scripted([TextDelta("a"), gate, TextDelta("b"), Finish("stop")])
    async with headwater(model) as server, connected(server) as socket:
        await socket.ask("POST", CHAT, version="1.0", body=BODY, Accept="text/plain")
        await socket.head()
        assert await socket.reader.readexactly(1) == b"a"
        gate.set()
        assert await socket.rest() == b"b"


@pytest.mark.parametrize(
    ("method", "path", "accept", "status"),
    [
        ("POST", CHAT, "application/json", 200),
        ("HEAD", "/api/stream", "*/*", 200),
        ("GET", "/healthz", "*/*", 200),
        ("GET", "/api/streams/abcdefgh-1", "*/*", 404),
        ("PUT", CHAT, "*/*", 405),
        ("GET", "/", "text/html", 200),
    ],
)
async def test_http_1_0_gets_every_other_response_as_1_1_does(method: str, path: str, accept: str, status: int) -> None:
    """With its length, where it has a body."""
    body = BODY if method == "POST" else b""
    async with headwater(Scripted(HELLO)) as server, connected(server) as socket:
        await socket.ask(method, path, version="1.0", body=body, Accept=accept)
        got, headers = await socket.head()
        content = await socket.rest()

    assert got == status
    assert "transfer-encoding" not in headers
    if method == "HEAD":
        assert content == b""
    else:
        assert int(headers["content-length"]) == len(content)


async def test_http_1_0_gets_204_without_a_body() -> None:
    """After the ending."""
    async with headwater(Scripted(HELLO)) as server, connected(server) as socket:
        told = await post_chat(server.client)
        last = parse(told.content)[-1].id or ""
        await socket.ask("GET", told.headers["location"], version="1.0", Last_Event_ID=last)
        status, headers = await socket.head()

        assert (status, await socket.rest()) == (204, b"")
        assert "transfer-encoding" not in headers


@pytest.mark.parametrize(
    "ending",
    [
        [TextDelta("part"), Stop("somebody")],
        [TextDelta("part"), SILENCE],
        [ToolCallStart("c", "f"), asyncio.Event(), ToolCallEnd("c"), Finish("tool_calls")],
    ],
    ids=["stopped", "stopped later", "tool call"],
)
async def test_bare_text_over_http_1_0_that_breaks_off_is_reset(ending: list[object]) -> None:
    """Its end is the connection's: closed like a whole answer, a part would look whole."""
    model = Scripted(ending)  # pyright: ignore[reportArgumentType]
    async with headwater(model) as server, connected(server) as socket:
        await socket.ask("POST", CHAT, version="1.0", body=BODY, Accept="text/plain")
        _, headers = await socket.head()
        for step in ending:
            if isinstance(step, asyncio.Event):
                step.set()
        await server.client.post(headers["location"] + "/stop")
        with pytest.raises(ConnectionResetError):
            await socket.rest()


# ---- A client that has no more to say


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("accept", ["text/event-stream", "application/json", "text/plain"])
async def test_a_client_that_half_closes_gets_its_answer(accept: str, version: str) -> None:
    """`nc -N` and old libraries shut their side down after the request (RFC 9112 §9.6)."""
    gate = asyncio.Event()
    model = Scripted([gate, *HELLO])
    async with headwater(model, pace=Pace(hold=0.01)) as server, connected(server) as socket:
        await socket.ask("POST", CHAT, version=version, body=BODY, Accept=accept)
        socket.writer.write_eof()
        await until(lambda: model.running, "the model runs")
        if accept != "application/json":
            await socket.head()
        gate.set()
        if accept == "application/json":
            await socket.head()
        body = await socket.rest()

    body = unchunked(body) if version == "1.1" and accept != "application/json" else body
    said = {"text/event-stream": lambda: text_of(parse(body)), "application/json": lambda: json.loads(body)["text"]}
    assert said.get(accept, body.decode)() == "Hello"


async def test_a_client_that_half_closes_after_two_requests_gets_both_answers() -> None:
    """In the order of the requests; then the connection is closed."""
    async with headwater(Scripted(HELLO)) as server, connected(server) as socket:
        await socket.ask("POST", CHAT, body=BODY, Accept="text/plain")
        await socket.ask("GET", "/healthz")
        socket.writer.write_eof()
        first, _ = await socket.head()
        text = await socket.reader.readuntil(b"0\r\n\r\n")
        second, _ = await socket.head()

        assert (first, unchunked(text.removesuffix(b"0\r\n\r\n")), second) == (200, b"Hello", 200)
        assert json.loads(await socket.rest()) == {"status": "alive"}


async def test_a_client_that_closes_between_requests_is_let_go() -> None:
    """At once: an idle connection has nothing to wait for."""
    async with headwater(Scripted(HELLO)) as server, connected(server) as socket:
        await socket.ask("GET", "/healthz")
        _, headers = await socket.head()
        await socket.reader.readexactly(int(headers["content-length"]))
        socket.writer.write_eof()

        assert await socket.rest() == b""


@pytest.mark.parametrize(
    "sent", [b"POST /api/stream HTTP/1.1\r\nHost: lo", b"", BODY[:10]], ids=["head", "none", "body"]
)
async def test_a_request_that_is_cut_off_is_let_go_and_starts_nothing(sent: bytes) -> None:
    """Whoever closes before the request is whole has left."""
    model = Scripted(HELLO)
    async with headwater(model) as server, connected(server) as socket:
        if sent == BODY[:10]:
            socket.writer.write(b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n" % CHAT.encode())
        socket.writer.write(sent)
        socket.writer.write_eof()

        assert await socket.rest() == b""
    assert not model.prompts


async def test_a_client_that_is_gone_is_noticed_by_the_next_heartbeats() -> None:
    """On the socket it looks like one that half-closed, until it refuses what it is sent."""

    class Left(Observer):
        def reader_left(self, log: str, dialect: str) -> None:
            left.set()

    left = asyncio.Event()
    model = Scripted([TextDelta("a"), SILENCE])
    async with headwater(model, pace=Pace(heartbeat=0.05), observers=[Left()]) as server:
        async with connected(server) as socket:
            await socket.ask("POST", CHAT, body=BODY)
            await socket.head()
            socket.writer.close()
            await asyncio.wait_for(left.wait(), 5)
        assert model.running


async def test_a_client_that_takes_nothing_is_let_go() -> None:
    """Also of a response that is no stream: what it has not taken lies in the server's memory."""

    class Quick(Connection):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, stalled=0.2, **more)

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("x" * 20_000_000)(scope, receive, send)

    async with serving(large, protocol=Quick) as client:
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect((client.base_url.host, client.base_url.port))
            slow.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            ports = {slow.getsockname()[1]}
            await until(lambda: not ports & _established(), "the server has let it go")
        assert len((await client.get("/")).content) == 20_000_000


async def test_a_body_has_a_time_of_its_own() -> None:
    """A head that took most of the same time leaves the body all of it."""

    class Quick(Connection):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, within=1.0, **more)

    async def sized(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(f"{len(await Request(scope, receive).body())}")(scope, receive, send)

    async with serving(sized, protocol=Quick) as client:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        head, half = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n", b"x" * 1000
        for part in (head + half, half):
            await asyncio.sleep(0.6)
            writer.write(part)
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        writer.close()


def _established() -> set[int]:
    """The ports of clients whose connections the server holds."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[2].partition(":")[2], 16) for row in rows if row[3] == "01"}
