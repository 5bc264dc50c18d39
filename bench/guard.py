"""Fails when a token has become twice as dear: `python -m bench.guard`, a few seconds, in CI.

Time on a shared machine says nothing, but the ratio of two things measured in turn in one process does: the hot path
(provider's bytes → events → log → store → frames, without sockets) and a yardstick that no change to Headwater touches.
"""

import asyncio
import json
import sys
import time

from headwater.events import Finish, Page
from headwater.log.logs import Logs
from headwater.log.memory import MemoryStore
from headwater.models.openai_stream import Stream
from headwater.principal import ANYONE
from headwater.wires.native.response import NativeWire

TOKENS, AT_ONCE, ROUNDS = 4000, 8, 15

USUAL = 0.85
"""The ratio when this was written."""

LIMIT = 1.7 * USUAL
"""Between what machines and Python versions differ by and a doubling."""

_CHUNK = (
    b'data: {"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz012","object":"chat.completion.chunk","created":1760000000,'
    b'"model":"bench","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}\n\n'
)


async def _hot_path() -> int:
    """A whole answer on its way through, as it comes: some tokens a read; gives the bytes that a client would get."""
    store = MemoryStore()
    logs = Logs(store)
    wire = NativeWire("message")
    sent = 0

    async def deliver() -> None:
        nonlocal sent
        async for page in logs.read("log"):
            sent += len(wire.feed_all(page) if isinstance(page, Page) else b"".join(map(wire.feed, page)))

    stream = Stream()
    async with logs.write(await store.open("log", ANYONE, ttl=60)) as writer:
        reading = asyncio.create_task(deliver())
        for _ in range(TOKENS // AT_ONCE):
            writer.append(stream.feed(_CHUNK * AT_ONCE))
            await writer.room()
            await asyncio.sleep(0)
        await writer.seal(Finish("stop"))
        await reading
    return sent


def _yardstick() -> int:
    """What any program could do with the same tokens: read their JSON and write it again, with the standard library."""
    return sum(len(json.dumps(json.loads(_CHUNK[6:]))) for _ in range(TOKENS))


def ratio() -> float:
    """The hot path's CPU time in yardsticks: the least of several rounds of each, since noise only ever adds."""
    paths: list[float] = []
    sticks: list[float] = []
    for _ in range(ROUNDS):
        began = time.process_time()
        assert asyncio.run(_hot_path()) > 40 * TOKENS
        between = time.process_time()
        assert _yardstick() > 200 * TOKENS
        sticks.append(time.process_time() - between)
        paths.append(between - began)
    return min(paths) / min(sticks)


def main() -> None:
    """Measure, say so, and fail beyond the limit."""
    found = ratio()
    print(f"hot path: {found:.2f} yardsticks (usually {USUAL:g}, at most {LIMIT:.2f})")
    sys.exit(found > LIMIT)


if __name__ == "__main__":
    main()
