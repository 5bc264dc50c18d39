"""Performance guard, run by CI: fails if a token or a replay costs much more CPU than usual. `python -m bench.guard`

CPU times vary between machines and with load; the ratio of two things measured alternately in one process does not. One
is Headwater's whole app without sockets (request → key → log ← provider's bytes, log → frames → ASGI), the other a
yardstick that no change of Headwater affects.
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
from headwater.telemetry.metrics import Metrics

TOKENS, AT_ONCE, ROUNDS = 2000, 8, 20
SINGLES = 500
"""Tokens that arrive one by one: each is read, appended, announced and sent alone. Their flushes are still grouped,
since they arrive fast; `bench.stores` measures flushes."""
HITS, SHORT = 40, 296
"""Stored answers in a round, and tokens in each: short, so that the fixed cost of a replay counts too."""

_CHUNK = (
    b'data: {"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz012","object":"chat.completion.chunk","created":1760000000,'
    b'"model":"bench","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}\n\n'
)
_LAST = _CHUNK.replace(b'{"content":" word"}', b"{}").replace(b"null}]", b'"stop"}]') + b"data: [DONE]\n\n"


class Path(NamedTuple):
    """A workload and the limit of its cost."""

    name: str
    usual: float
    """Usual cost in yardsticks; update it when you make the workload cheaper."""
    limit: float
    """Maximum cost: above the differences between machines and Python versions, below twice the usual cost."""


MISS = Path(f"a miss of {TOKENS:,} tokens", 0.69, 1.1)
HIT = Path(f"{HITS} hits of {SHORT} tokens", 0.92, 1.35)
SINGLE = Path(f"a miss of {SINGLES:,} tokens, one by one, on SQLite", 0.87, 1.4)
PATHS = (MISS, HIT, SINGLE)
ATTEMPTS = 3
"""Attempts before the guard fails: a busy machine can exceed a limit by chance, slow code exceeds it every time."""


class Provider:
    """A model that parses an OpenAI stream, several tokens at a time."""

    name = "bench"

    def __init__(self) -> None:
        self.sent = asyncio.Event()
        """Set when bytes were sent to a client."""

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        """The answer; the question gives the number of tokens, and of tokens per read."""
        reading = Stream()
        tokens, at_once = map(int, str(prompt.messages[-1].content).split()[:2])
        for _ in range(tokens // at_once):
            self.sent.clear()
            yield reading.feed(_CHUNK * at_once)
            if at_once > 1:
                await asyncio.sleep(0)  # let readers run, as a wait for the socket would
            else:
                await self.sent.wait()  # otherwise a slower reader would send several tokens at once, and look cheaper
        yield reading.feed(_LAST)
        if ending := reading.finish():
            yield ending


PROVIDER = Provider()


async def _ask(app: FastAPI, question: str) -> int:
    """Send one request to the app as an ASGI server would; returns the number of bytes sent to the client."""
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
    """The yardstick: decode and encode the JSON of the same tokens with the standard library."""
    return sum(len(json.dumps(json.loads(_CHUNK[6:]))) for _ in range(TOKENS))


async def ratios() -> list[float]:
    """The CPU time of each workload in yardsticks: the minimum of several rounds, since noise only adds."""
    PROVIDER.sent = asyncio.Event()  # an event of this loop
    with tempfile.TemporaryDirectory() as folder:
        async with _app("memory:") as app, _app(f"sqlite:///{folder}/logs.sqlite") as durable:
            await _hits(app)  # stores the answer to replay, and triggers late imports
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
    counting = [Metrics()]  # as `headwater serve` counts
    app.include_router(headwater.router(model=PROVIDER, cache_as="bench", store=store, observers=counting))
    async with app.router.lifespan_context(app):
        yield app


def main() -> None:
    """Measure and print; exit with a failure if a workload exceeds its limit in every attempt."""
    for _ in range(ATTEMPTS):
        found = list(zip(PATHS, asyncio.run(ratios()), strict=True))
        for path, ratio in found:
            print(f"{path.name}: {ratio:.2f} yardsticks (usually {path.usual:g}, at most {path.limit:g})")
        if all(ratio <= path.limit for path, ratio in found):
            return
    sys.exit("A workload costs over 1.5 times its usual CPU; see bench/guard.py.")


if __name__ == "__main__":
    main()
