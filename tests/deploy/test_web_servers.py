"""Streams through nginx and Caddy with the files that are shipped, over TLS, with HTTP/1.1 and HTTP/2."""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import web_servers
from serving import Frame, Headwater, chat, frames, headwater, parse, text_of, until
from starlette.requests import Request
from web_servers import HOST, ROOT, Certificate, Front, WebServer

from headwater.events import Finish, TextDelta
from headwater.models.scripted import Scripted
from headwater.observe import Observer
from headwater.principal import ANYONE, Principal
from headwater.settings import Settings
from headwater.web.response import Pace
from headwater.web.routes.conversation_files import IMPORT_BYTES

CHAT = "/api/stream/completion/chat"
BODY = b'{"messages": [{"role": "user", "content": "Hi"}]}'
LIMIT: int = Settings.model_fields["max_body"].default
LARGEST = max(LIMIT, IMPORT_BYTES)
"""Bytes of the largest body that any route takes."""
each_version = pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])


class Seen(Observer):
    """Counts the readers of a server, and keeps the last request."""

    def __init__(self) -> None:
        self.readers = 0
        self.request: Request | None = None

    def reader_came(self, log: str, dialect: str) -> None:
        self.readers += 1

    def reader_left(self, log: str, dialect: str) -> None:
        self.readers -= 1

    def who(self, request: Request) -> Principal:
        """Everybody is the same caller."""
        self.request = request
        return ANYONE


class Stack(NamedTuple):
    """A web server, and a Headwater behind it whose answer is "ab" and waits before the b."""

    front: Front
    server: Headwater
    model: Scripted
    gate: asyncio.Event
    seen: Seen


@asynccontextmanager
async def stack(
    web_server: WebServer, certified: Certificate, folder: Path, *, pace: Pace | None = None
) -> AsyncGenerator[Stack, None]:
    """Start both, Headwater first."""
    gate, seen = asyncio.Event(), Seen()
    model = Scripted([TextDelta("a"), gate, TextDelta("b"), Finish("stop")])
    said = partial(headwater, hosts=[HOST], proxies=["127.0.0.1"])  # what the files say that Headwater needs
    async with said(model, observers=[seen], who=seen.who, pace=pace) as server:
        port = server.client.base_url.port
        assert port is not None
        async with web_servers.serving(web_server, port, certified, folder) as front:
            yield Stack(front, server, model, gate, seen)
            gate.set()


async def first_token(response: httpx.Response) -> list[Frame]:
    """The frames up to the first token."""
    read = frames(response)
    seen = [await anext(read)]
    while seen[-1]["type"] != "text-delta":
        seen.append(await anext(read))
    return seen


@each_version
async def test_each_token_arrives_before_the_next_is_made(
    web_server: WebServer, certified: Certificate, folder: Path, http2: bool
) -> None:
    """As events, and as bare text, whose type does not tell a proxy that it is a stream."""
    async with stack(web_server, certified, folder) as running, running.front.client(http2=http2) as client:
        async with (
            client.stream("POST", CHAT, json=chat()) as events,
            client.stream("POST", CHAT, json=chat(), headers={"accept": "text/plain"}) as text,
        ):
            assert events.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
            pieces = text.aiter_raw()
            read = frames(events)
            early = [await anext(read), await anext(read)]
            assert text_of(early) == "a" == (await anext(pieces)).decode()
            running.gate.set()
            assert (
                text_of([frame async for frame in read]) == "b" == "".join([piece.decode() async for piece in pieces])
            )
    assert len(running.model.prompts) == 1


@each_version
async def test_a_stream_that_was_cut_resumes_at_the_exact_token(
    web_server: WebServer, certified: Certificate, folder: Path, http2: bool
) -> None:
    """By `Last-Event-ID`, on another connection."""
    async with stack(web_server, certified, folder, pace=Pace(hold=0.05)) as running:
        async with running.front.client(http2=http2) as client, client.stream("POST", CHAT, json=chat()) as response:
            before = await first_token(response)
        async with running.front.client(http2=http2) as client:
            resuming = {"last-event-id": before[-1].id or ""}
            async with client.stream("GET", response.headers["location"], headers=resuming) as rest:
                running.gate.set()
                after = [frame async for frame in frames(rest)]
    assert [frame["type"] for frame in [*before, *after]] == ["start", "text-delta", "text-delta", "finish"]
    assert text_of([*before, *after]) == "ab"


@each_version
async def test_a_stop_ends_a_running_stream(
    web_server: WebServer, certified: Certificate, folder: Path, http2: bool
) -> None:
    """While its connection is open."""
    async with stack(web_server, certified, folder) as running, running.front.client(http2=http2) as client:
        async with client.stream("POST", CHAT, json=chat()) as response:
            read = frames(response)
            while (await anext(read))["type"] != "text-delta":
                pass
            stopped = await client.post(f"{response.headers['location']}/stop")
            ending = [frame async for frame in read]
    assert stopped.is_success
    assert [frame["type"] for frame in ending] == ["stop"]


@each_version
async def test_a_client_that_leaves_ends_only_its_own_reading(
    web_server: WebServer, certified: Certificate, folder: Path, http2: bool
) -> None:
    """Headwater learns it with a comment that the web server no longer takes; the answer is still made whole."""
    async with stack(web_server, certified, folder, pace=Pace(heartbeat=0.05)) as running:
        async with running.front.client(http2=http2) as client:
            async with client.stream("POST", CHAT, json=chat()) as response:
                await first_token(response)
                assert running.seen.readers == 1
        await until(lambda: running.seen.readers == 0, "Headwater noticed that the client had left")
        assert running.model.running == 1
        running.gate.set()
        whole = await running.server.client.get(response.headers["location"])
    assert text_of(parse(whole.content)) == "ab"


@each_version
async def test_comments_come_through_while_the_model_is_silent(
    web_server: WebServer, certified: Certificate, folder: Path, http2: bool
) -> None:
    """They keep every proxy on the way from taking the connection for idle."""
    pace = Pace(heartbeat=0.05)
    async with stack(web_server, certified, folder, pace=pace) as running, running.front.client(http2=http2) as client:
        async with client.stream("POST", CHAT, json=chat()) as response:
            received = b""
            async for piece in response.aiter_raw():
                received += piece
                if received.count(b"\n:") + received.startswith(b":") >= 2:
                    break
    assert b"finish" not in received


@each_version
async def test_a_body_and_headers_of_the_allowed_size_pass(
    web_server: WebServer, certified: Certificate, folder: Path, http2: bool
) -> None:
    """Up to `HEADWATER_MAX_BODY`, and headers as long as a token of a large company."""
    long = {"authorization": f"Bearer {'k' * 1000}", "x-request-id": "r" * 1000, "cookie": f"a={'c' * 1000}"}
    async with stack(web_server, certified, folder) as running, running.front.client(http2=http2) as client:
        running.gate.set()
        whole = await client.post(CHAT, content=BODY.ljust(LIMIT), headers=long)
    assert (whole.status_code, text_of(parse(whole.content))) == (200, "ab")
    assert running.seen.request is not None
    assert {name: running.seen.request.headers[name] for name in long} == long


async def test_nginx_refuses_a_larger_body_before_it_is_sent(certified: Certificate, folder: Path) -> None:
    """Caddy cuts it off when it has passed on that much, which Headwater refuses."""
    nginx = web_servers.nginx()
    if nginx is None:
        pytest.skip("nginx is not installed")
    head = (f"POST {CHAT} HTTP/1.1", f"Host: {HOST}", f"Content-Length: {LARGEST + 1}", "Connection: close", "\r\n")
    async with stack(nginx, certified, folder) as running:
        port, trust = running.front.ports.https, certified.trust()
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname=HOST)
        async with asyncio.timeout(10):
            writer.write("\r\n".join(head).encode())
            status = await reader.readline()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
    assert status.startswith(b"HTTP/1.1 413 ")


@each_version
async def test_headwater_learns_the_clients_address_and_not_what_the_client_claims(
    web_server: WebServer, certified: Certificate, folder: Path, http2: bool
) -> None:
    """And the name and scheme that the client used, by which a browser's `Origin` is compared."""
    claims = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "http", "x-forwarded-host": "evil.example"}
    async with stack(web_server, certified, folder) as running, running.front.client(http2=http2) as client:
        running.gate.set()
        answer = await client.post(CHAT, json=chat(), headers={**claims, "origin": f"https://{HOST}"})
    assert answer.status_code == 200
    assert running.seen.request is not None
    assert running.seen.request.client is not None
    assert running.seen.request.client.host == "127.0.0.1"
    assert str(running.seen.request.url) == f"https://{HOST}{CHAT}"
    headers = running.seen.request.headers
    assert not [name for name, value in claims.items() if headers.get(name) == value]


async def test_http_is_redirected_to_https(web_server: WebServer, certified: Certificate, folder: Path) -> None:
    """With a status that keeps the method and the body of a POST."""
    async with stack(web_server, certified, folder) as running:
        async with httpx.AsyncClient(headers={"Host": HOST}) as client:
            moved = await client.post(f"http://127.0.0.1:{running.front.ports.http}{CHAT}", json=chat())
    assert moved.status_code == 308
    assert moved.headers["location"].startswith(f"https://{HOST}")
    assert moved.headers["location"].endswith(CHAT)


def number(name: str, pattern: str) -> float:
    """A number in a file of `deploy/`."""
    found: Sequence[str] = re.findall(pattern, (ROOT / "deploy" / name).read_text())
    assert len(found) == 1, f"deploy/{name} has no {pattern}"
    return float(found[0])


def test_the_limits_of_the_web_servers_fit_those_of_headwater() -> None:
    """A web server closes an idle connection first, and an answer last; it takes the same bodies."""
    default = {name: field.default for name, field in Settings.model_fields.items()}

    assert number("nginx.conf", r"proxy_read_timeout (\d+)s;") >= default["total_timeout"] > default["heartbeat"]
    assert number("nginx.conf", r"keepalive_timeout (\d+)s;") < default["keep_alive"]
    assert number("Caddyfile", r"keepalive (\d+)s\n") < default["keep_alive"]
    assert number("nginx.conf", r"client_max_body_size (\d+)m;") * 2**20 == LARGEST
    assert number("Caddyfile", r"max_size (\d+)MiB\n") * 2**20 == LARGEST
