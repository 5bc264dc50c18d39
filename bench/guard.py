"""Fails when a token or a hit has become twice as dear: `python -m bench.guard`, a few seconds, in CI.

Time on a shared machine says nothing, but the ratio of two things measured in turn in one process does: Headwater's
whole app without sockets (request → key → log ← provider's bytes, log → frames → ASGI) and a yardstick that no change
to Headwater touches.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Sequence
from typing import Any, NamedTuple

from fastapi import FastAPI

import headwater
from headwater.events import Event
from headwater.models.openai_stream import Stream
from headwater.prompt import Prompt

TOKENS, AT_ONCE, ROUNDS = 2000, 8, 20
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
ATTEMPTS = 3
"""A machine may be so busy that even the least of many rounds is too much; code that is too dear is so every time."""


class Provider:
    """A model that reads what OpenAI would have sent, some tokens at a time."""

    name = "bench"

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        """The answer, as long as the question says."""
        reading = Stream()
        for _ in range(int(str(prompt.messages[-1].content).split()[0]) // AT_ONCE):
            yield reading.feed(_CHUNK * AT_ONCE)
            await asyncio.sleep(0)  # as a socket would, so that readers take what there is
        yield reading.feed(_LAST)
        if ending := reading.finish():
            yield ending


async def _ask(app: FastAPI, question: str) -> int:
    """One request, as an ASGI server hands it over; gives the bytes that a client would get."""
    body = json.dumps({"messages": [{"role": "user", "content": question}]}).encode()
    asked = [{"type": "http.request", "body": body, "more_body": False}]
    sent = 0

    async def receive() -> Any:
        return asked.pop() if asked else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        nonlocal sent
        assert message.get("status", 200) == 200, message
        sent += len(message.get("body", b""))

    path = "/api/stream/completion/chat"
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    about = {"asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "root_path": ""}
    await app({**scope, **about, "headers": headers}, receive, send)
    return sent


async def _spent(work: Awaitable[int]) -> float:
    began = time.process_time()
    assert await work > 40 * SHORT
    return time.process_time() - began


async def _hits(app: FastAPI) -> int:
    return sum([await _ask(app, f"{SHORT} tokens, again") for _ in range(HITS)])


async def _yardstick() -> int:
    """What any program could do with the same tokens: read their JSON and write it again, with the standard library."""
    return sum(len(json.dumps(json.loads(_CHUNK[6:]))) for _ in range(TOKENS))


async def ratios() -> tuple[float, float]:
    """The CPU time of a miss and of hits in yardsticks: the least of several rounds of each; noise only ever adds."""
    app = FastAPI()
    app.include_router(headwater.router(model=Provider(), cache_as="bench", store="memory:"))
    async with app.router.lifespan_context(app):
        await _hits(app)  # makes the answer that is hit, and imports what is imported late
        rounds = [
            (await _spent(_yardstick()), await _spent(_ask(app, f"{TOKENS} tokens, {i}")), await _spent(_hits(app)))
            for i in range(ROUNDS)
        ]
    stick, miss, hits = map(min, zip(*rounds, strict=True))
    return miss / stick, hits / stick


def main() -> None:
    """Measure, say so, and fail when a path is beyond its limit each time."""
    for _ in range(ATTEMPTS):
        found = list(zip((MISS, HIT), asyncio.run(ratios()), strict=True))
        for path, ratio in found:
            print(f"{path.name}: {ratio:.2f} yardsticks (usually {path.usual:g}, at most {path.limit:g})")
        if all(ratio <= path.limit for path, ratio in found):
            return
    sys.exit("Headwater has become about twice as dear as it was: see `bench/guard.py`.")


if __name__ == "__main__":
    main()
