"""A real Headwater server on a loopback socket, in this event loop, and what a client reads from it."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple, cast

import httpx
import msgspec
import uvicorn
from starlette.requests import Request
from starlette.types import ASGIApp

from headwater.access.keyfile import Keys
from headwater.answers.answers import Answers, Policy
from headwater.answers.claim import Caching
from headwater.answers.continuing import Continuing
from headwater.answers.generation import Timeouts
from headwater.answers.quota import Allowance
from headwater.cli.connection import Connection
from headwater.cli.proxies import Proxies
from headwater.log.memory import MemoryStore
from headwater.log.store import Store
from headwater.models.catalogue import Catalogue, Offer
from headwater.models.model import Model
from headwater.models.prices import Prices
from headwater.observe import Observer, Observers
from headwater.principal import ANYONE, Principal
from headwater.telemetry.metrics import Metrics
from headwater.web.app import create_app
from headwater.web.capacity import Capacity
from headwater.web.gate import PRINCIPAL, Access, Ways
from headwater.web.origin import Allowed
from headwater.web.response import Pace
from headwater.web.routes.operator import look
from headwater.web.routes.server import About
from headwater.web.surface import Surface
from headwater.webhooks.queue import Webhooks


@asynccontextmanager
async def serving(
    app: ASGIApp, *, lifespan: bool = False, protocol: type[Connection] = Connection
) -> AsyncGenerator[httpx.AsyncClient, None]:
    """Serve the app on a free loopback port with uvicorn, and give a client of it."""
    # The protocol is named because asyncio turns Nagle's algorithm off only where it sees TCP.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app,
            http=protocol,
            log_level="error",
            ws="none",
            proxy_headers=False,
            lifespan="on" if lifespan else "off",
        )
        server = _Server(config)
        # Signals belong to the test runner.
        task = asyncio.create_task(server._serve([listening]))  # pyright: ignore[reportPrivateUsage]
        begun = asyncio.create_task(server.begun.wait())
        await asyncio.wait([begun, task], return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        if task.done():
            await task
        host, port = listening.getsockname()
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=20) as client:
            try:
                yield client
            finally:
                await client.aclose()
                server.over.set()
                await task


class _Server(uvicorn.Server):
    """Ends at once: uvicorn's own waits up to 0.3 s in looks and pauses, which a thousand tests would wait for."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.begun, self.over = asyncio.Event(), asyncio.Event()
        self.server_state.connections, self.server_state.tasks = _Emptying(), _Emptying()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        self.begun.set()
        await self.over.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listening in (*self.servers, *(sockets or [])):
            listening.close()
        left = self.server_state
        for connection in [*left.connections]:
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                while busy := [each for each in (left.connections, left.tasks) if each]:
                    await cast("_Emptying", busy[0]).emptied.wait()
        for task in left.tasks:
            task.cancel()
        await self.lifespan.shutdown()


class _Emptying(set[Any]):
    """A set that tells when its last member has gone."""

    def __init__(self) -> None:
        super().__init__()
        self.emptied = asyncio.Event()

    def add(self, element: Any, /) -> None:
        self.emptied.clear()
        super().add(element)

    def discard(self, element: Any, /) -> None:
        super().discard(element)
        if not self:
            self.emptied.set()


class Frame(dict[str, Any]):
    """The JSON of one SSE frame; its id beside it."""

    id: str | None = None

    @property
    def offset(self) -> str | None:
        """The id without the run of its log, which is another one each time."""
        return self.id and self.id.partition(".")[0]


async def frames(response: httpx.Response) -> AsyncIterator[Frame]:
    """The frames of a streaming response, as they arrive; comments are passed over."""
    rest = b""
    async for piece in response.aiter_raw():
        rest += piece
        *whole, rest = rest.split(b"\n\n")
        for block in whole:
            frame = parse_frame(block)
            if frame is not None:
                yield frame
    assert not rest.strip(b":\n"), f"half a frame at the end: {rest!r}"


def parse_frame(block: bytes) -> Frame | None:
    """One block of SSE lines, strictly as we promise to write them."""
    frame: Frame | None = None
    id: str | None = None
    for line in block.decode("ascii").split("\n"):
        if line.startswith("data: "):
            assert frame is None, "more than one data line"
            frame = Frame(json.loads(line[6:]))
        elif line.startswith("id: "):
            id = line[4:]
        else:
            assert line.startswith((":", "retry: ")), line
    if frame is not None:
        frame.id = id
    return frame


def parse(body: bytes) -> list[Frame]:
    """All frames of a whole body."""
    return [frame for block in body.split(b"\n\n") if block and (frame := parse_frame(block)) is not None]


def seen(body: bytes) -> tuple[bytes, str | None]:
    """What a client keeps of a body that was cut: its whole frames, and the last id among them."""
    whole = body[: body.rfind(b"\n\n") + 2] if b"\n\n" in body else b""
    ids = [frame.id for block in whole.split(b"\n\n") if block and (frame := parse_frame(block)) and frame.id]
    return whole, ids[-1] if ids else None


def text_of(all_frames: list[Frame]) -> str:
    """The answer that a client would show."""
    return "".join(frame["text"] for frame in all_frames if frame["type"] == "text-delta")


async def post_chat(client: httpx.AsyncClient, question: str = "Hi", **headers: str) -> httpx.Response:
    """Ask one question and read the whole answer."""
    return await client.post("/api/stream/completion/chat", json=chat(question), headers=headers)


def chat(question: str = "Hi", **fields: Any) -> dict[str, Any]:
    """A chat of one question."""
    return {"messages": [{"role": "user", "content": question}], **fields}


class Headwater(NamedTuple):
    """A running server: its client, and the parts that a test may look at."""

    client: httpx.AsyncClient
    answers: Answers
    store: Store


@asynccontextmanager
async def headwater(
    model: Model,
    store: Store | None = None,
    *,
    caching: Caching | None = None,
    timeouts: Timeouts | None = None,
    pace: Pace | None = None,
    who: Callable[[Request], Principal] = lambda _: ANYONE,
    origins: Sequence[str] = (),
    hosts: Sequence[str] = (),
    credentials: bool = False,
    keys: Keys | None = None,
    ways: Ways = Ways(),  # noqa: B008 - immutable
    proxies: Sequence[str] = (),
    observers: Sequence[Observer] = (),
    metrics: Metrics | None = None,
    continuing: Continuing | None = None,
    allowance: Allowance | None = None,
    capacity: Capacity | None = None,
    pins: bool = False,
    prices: Prices | None = None,
    webhooks: Webhooks | None = None,
) -> AsyncGenerator[Headwater, None]:
    """Serve a model the way `headwater serve` does; afterwards every producer must have ended.

    With `keys`, the caller is who has one of them; `ways` are the other ways to know callers.
    """
    store = store or MemoryStore()

    async def build() -> Model:
        return model

    async def principal(request: Request) -> Principal:
        return request.scope[PRINCIPAL] if keys is not None else who(request)

    models = Catalogue(Offer(model.name, "test", True, build))
    models.prices = prices
    continuing = continuing or Continuing("provider" if isinstance(store, MemoryStore) else "all")
    observers = [*observers, *filter(None, [metrics, webhooks])]
    policy = Policy(caching or Caching(secret=b"secret"), timeouts or Timeouts(retries=0), continuing)
    policy = msgspec.structs.replace(policy, allowance=allowance or policy.allowance, pins=pins)
    answers = Answers(lambda: store, models, policy, Observers(observers), borrowed=True)
    if webhooks is not None:
        webhooks.accompany(answers)
    if metrics is not None:
        metrics.look = lambda: look(answers)
    surface = Surface(answers, principal, pace or Pace(), tick=0.01, capacity=capacity or Capacity(), metrics=metrics)
    surface = surface._replace(webhooks=webhooks)
    allowed = Allowed(origins, hosts, credentials)
    access = None if keys is None else Access(keys, answers.secret, ways)
    app = create_app(surface, About("0", model.name), allowed=allowed, access=access)
    async with serving(Proxies(app, proxies) if proxies else app) as client:
        yield Headwater(client, answers, store)
        await answers.aclose()
    assert answers.running == 0, "a producer outlived the server"
    await store.aclose()


async def until(fact: Callable[[], object], what: str, seconds: float = 5.0) -> None:
    """Wait until a fact is true; fails by saying which one never was."""
    try:
        async with asyncio.timeout(seconds):
            while not fact():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"never true within {seconds:g} s: {what}") from None
