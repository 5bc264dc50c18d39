"""Fails when a token or a hit has become much dearer: `python -m bench.guard`, a few seconds, in CI.

Time on a shared machine says nothing, but the ratio of two things measured in turn in one process does: Headwater's
whole app without sockets (request → key → log ← provider's bytes, log → frames → ASGI) and a yardstick that no change
to Headwater touches.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from fastapi import FastAPI

import headwater
from headwater.events import Event
from headwater.models.openai.stream import Stream
from headwater.prompt import Prompt

TOKENS, AT_ONCE, ROUNDS = 2000, 8, 20
SINGLES = 500
"""Tokens that come one by one, as slow ones do: each is read, kept, woken for and sent alone. Only their flushes come
together, for these are not slow; `bench.stores` tells what flushes take."""
HITS, SHORT = 40, 296
"""Stored answers in a round, and the tokens of each: as short as answers are, so that opening one counts too."""

_CHUNK = (
    b'data: {"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz012","object":"chat.completion.chunk","created":1760000000,'
    b'"model":"bench","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}\n\n'
)
_LAST = _CHUNK.replace(b'{"content":" word"}', b"{}").replace(b"null}]", b'"stop"}]') + b"data: [DONE]\n\n"


class Path(NamedTuple):
    """Work whose cost is watched."""

    name: str
    usual: float
    """What it took, in yardsticks, when this was written; write down what it takes when you make it cheaper."""
    limit: float
    """Between what machines and Python versions differ by and a doubling."""


MISS = Path(f"a miss of {TOKENS:,} tokens", 0.69, 1.1)
HIT = Path(f"{HITS} hits of {SHORT} tokens", 0.64, 1.0)
SINGLE = Path(f"a miss of {SINGLES:,} tokens, one by one, on SQLite", 0.87, 1.4)
PATHS = (MISS, HIT, SINGLE)
ATTEMPTS = 3
"""A machine may be so busy that even the least of many rounds is too much; code that is too dear is so every time."""


class Provider:
    """A model that reads what OpenAI would have sent, some tokens at a time."""

    name = "bench"

    def __init__(self) -> None:
        self.sent = asyncio.Event()
        """Set when a client was sent something."""

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        """The answer, as long as the question says, and as many tokens at once."""
        reading = Stream()
        tokens, at_once = map(int, str(prompt.messages[-1].content).split()[:2])
        for _ in range(tokens // at_once):
            self.sent.clear()
            yield reading.feed(_CHUNK * at_once)
            if at_once > 1:
                await asyncio.sleep(0)  # as a socket would, so that readers take what there is
            else:
                await self.sent.wait()  # or whatever makes a reader slow would spare it sends, and look cheap
        yield reading.feed(_LAST)
        if ending := reading.finish():
            yield ending


PROVIDER = Provider()


async def _ask(app: FastAPI, question: str) -> int:
    """One request, as an ASGI server hands it over; gives the bytes that a client would get."""
    body = json.dumps({"messages": [{"role": "user", "content": question}]}).encode()
    asked = [{"type": "http.request", "body": body, "more_body": False}]
    bytes_sent = 0

    async def receive() -> Any:
        return asked.pop() if asked else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        nonlocal bytes_sent
        assert message.get("status", 200) == 200, message
        bytes_sent += len(message.get("body", b""))
        PROVIDER.sent.set()

    path = "/api/stream/completion/chat"
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    about = {"asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "root_path": ""}
    await app({**scope, **about, "headers": headers}, receive, send)
    return bytes_sent


async def _spent(work: Awaitable[int]) -> float:
    began = time.process_time()
    assert await work > 40 * SHORT
    return time.process_time() - began


async def _hits(app: FastAPI) -> int:
    return sum([await _ask(app, f"{SHORT} {AT_ONCE} again") for _ in range(HITS)])


async def _yardstick() -> int:
    """What any program could do with the same tokens: read their JSON and write it again, with the standard library."""
    return sum(len(json.dumps(json.loads(_CHUNK[6:]))) for _ in range(TOKENS))


async def ratios() -> list[float]:
    """The CPU time of each path in yardsticks: the least of several rounds of each; noise only ever adds."""
    PROVIDER.sent = asyncio.Event()  # one of this loop's
    with tempfile.TemporaryDirectory() as folder:
        async with _app("memory:") as app, _app(f"sqlite:///{folder}/logs.sqlite") as durable:
            await _hits(app)  # makes the answer that is hit, and imports what is imported late
            await _ask(durable, f"{SINGLES} 1")
            rounds = [
                (
                    await _spent(_yardstick()),
                    await _spent(_ask(app, f"{TOKENS} {AT_ONCE} {i}")),
                    await _spent(_hits(app)),
                    await _spent(_ask(durable, f"{SINGLES} 1 {i}")),
                )
                for i in range(ROUNDS)
            ]
    stick, *paths = map(min, zip(*rounds, strict=True))
    return [path / stick for path in paths]


@asynccontextmanager
async def _app(store: str) -> AsyncGenerator[FastAPI, None]:
    app = FastAPI()
    app.include_router(headwater.router(model=PROVIDER, cache_as="bench", store=store))
    async with app.router.lifespan_context(app):
        yield app


def main() -> None:
    """Measure, say so, and fail when a path is beyond its limit each time."""
    for _ in range(ATTEMPTS):
        found = list(zip(PATHS, asyncio.run(ratios()), strict=True))
        for path, ratio in found:
            print(f"{path.name}: {ratio:.2f} yardsticks (usually {path.usual:g}, at most {path.limit:g})")
        if all(ratio <= path.limit for path, ratio in found):
            return
    sys.exit("Headwater has become half as dear again as it was, or more: see `bench/guard.py`.")


if __name__ == "__main__":
    main()
