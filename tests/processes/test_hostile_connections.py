"""Clients that want to hold a server up: each is let go in time, and costs nobody else anything."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from servers import Serving, serve
from serving import post_chat

HEAD = b"POST /api/stream/completion HTTP/1.1\r\nHost: localhost\r\n"
WITHIN = 0.5
"""Seconds in which a request must arrive."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@asynccontextmanager
async def hostile(server: Serving, *, buffer: int = 0) -> AsyncGenerator[socket.socket, None]:
    """A connection to the server, with a receive buffer of so many bytes."""
    with socket.socket() as client:
        if buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.setblocking(False)
        url = server.client.base_url
        await asyncio.get_running_loop().sock_connect(client, (url.host, url.port))
        yield client


async def until_closed(client: socket.socket) -> bytes:
    """What the server sends before it closes, or resets."""
    got = b""
    async with asyncio.timeout(10):
        try:
            while piece := await asyncio.get_running_loop().sock_recv(client, 65_536):
                got += piece
        except ConnectionError:
            pass
    return got


async def dribbled(server: Serving, first: bytes, piece: bytes, pause: float = 0.05) -> tuple[bytes, float]:
    """Send a little again and again; what the server says, and after how many seconds it closes."""
    loop, began = asyncio.get_running_loop(), time.monotonic()

    async def send() -> None:
        await loop.sock_sendall(client, first)
        while True:
            await loop.sock_sendall(client, piece)
            await asyncio.sleep(pause)

    async with hostile(server) as client:
        sending = asyncio.create_task(send())
        got = await until_closed(client)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    return got, time.monotonic() - began


def resident(server: Serving) -> int:
    """The memory of the server in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def keeps_alive(client: socket.socket) -> bool:
    """Whether the kernel asks now and then if this connection's client is there, by the server's end of it."""
    mine, server = f":{client.getsockname()[1]:04X}", f":{client.getpeername()[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(server) and row[2].endswith(mine) and row[5].startswith("02:") for row in rows)


async def test_requests_that_never_arrive(folder: Path) -> None:
    """Slowloris: heads and bodies in drops, and connections without a byte. The others are served meanwhile."""
    chunked, sized = b"Transfer-Encoding: chunked\r\n\r\n", b"Content-Length: 100000\r\n\r\n"
    async with serve(folder, HEADWATER_MODEL="echo", HEADWATER_REQUEST_TIMEOUT=str(WITHIN)) as server:
        async with hostile(server) as silent:
            drops = [
                *(dribbled(server, HEAD, b"X-A: b\r\n") for _ in range(50)),
                *(dribbled(server, HEAD + sized, b"{") for _ in range(25)),
                *(dribbled(server, HEAD + chunked, b"1\r\n{\r\n") for _ in range(25)),
                dribbled(server, b"", b"\r\n"),
            ]
            hostiles = asyncio.gather(*drops)
            waits: list[float] = []
            while not hostiles.done():
                began = time.monotonic()
                assert (await post_chat(server.client, f"{began}")).status_code == 200
                waits.append(time.monotonic() - began)
            ends = await hostiles
            assert await until_closed(silent) == b""

    assert {got.split(b"\r\n")[0] for got, _ in ends[:-1]} == {b"HTTP/1.1 408 Request Timeout"}
    assert all(took < WITHIN + 3 for _, took in ends)
    assert max(waits) < 2, "nobody else waits"


async def test_requests_without_end(folder: Path) -> None:
    """Headers, bodies and trailers that go on for ever are refused early, take no memory and no connection."""
    line, piece = b"X-A: " + b"b" * 1000 + b"\r\n", b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    endless = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serve(folder, HEADWATER_MODEL="echo", HEADWATER_REQUEST_TIMEOUT=str(WITHIN)) as server:
        before = resident(server)
        headers, one_header, at_once, body, unread, *framing = await asyncio.gather(
            dribbled(server, HEAD, line, 0),
            dribbled(server, HEAD + b"X-A: ", b"b" * 5000, 0),
            dribbled(server, HEAD + line * 100 + b"\r\n", b"", 1),
            dribbled(server, chunked, piece, 0),
            dribbled(server, endless, piece, 0.01),
            dribbled(server, chunked + b"0\r\n", b"a:\r\n" * 4000, 0),
            dribbled(server, chunked + b"0\r\nX-A: ", b"b" * 5000, 0),
            dribbled(server, chunked + b"1;x=", b"b" * 5000, 0),
        )
        assert (await post_chat(server.client)).status_code == 200
        assert resident(server) - before < 64 * 1024 * 1024

    assert all(got.startswith(b"HTTP/1.1 431") or not got for got, _ in (headers, one_header))
    assert at_once[0].startswith(b"HTTP/1.1 431")
    assert json.loads(at_once[0].partition(b"\r\n\r\n")[2])["code"] == "headers_too_large"
    assert body[0].startswith(b"HTTP/1.1 413")
    assert unread[0].startswith(b"HTTP/1.1 200")
    assert [got for got, _ in framing] == [b""] * 3
    assert all(took < WITHIN + 3 for _, took in (headers, one_header, at_once, body, unread, *framing))


async def test_readers_that_hardly_read(folder: Path) -> None:
    """A byte a second, with all that their buffers hold still to come: others read at their own pace."""
    question = {"message": "x" * 1_500_000}
    async with serve(folder, HEADWATER_MODEL="echo") as server, AsyncExitStack() as hostiles:
        loop = asyncio.get_running_loop()
        asked = await server.client.post("/api/stream/completion", json=question)
        whole = await server.client.get(asked.headers["location"])
        before = resident(server)
        ask = f"GET {asked.headers['location']} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        for _ in range(40):
            client = await hostiles.enter_async_context(hostile(server, buffer=2048))
            await loop.sock_sendall(client, ask)
            assert await loop.sock_recv(client, 1)
        began = time.monotonic()
        again = await server.client.get(asked.headers["location"])
        took = time.monotonic() - began
        assert resident(server) - before < 40 * 1024 * 1024, "a page each, and not the whole answer"

    assert len(again.content) == len(whole.content) > 1_000_000
    assert took < 5


async def test_a_client_that_vanishes_is_looked_for(folder: Path) -> None:
    """A half-open connection, whose client lost its power or its network, is found by the kernel."""
    async with serve(folder, HEADWATER_MODEL="echo") as server, hostile(server) as client:
        await asyncio.get_running_loop().sock_sendall(client, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await asyncio.get_running_loop().sock_recv(client, 4096)
        assert keeps_alive(client)
