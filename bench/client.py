"""The load: asks in many streams at once, counts tokens, tells how long the first ones took.

    python -m bench.client '{"port": 8000, "path": "/…", "streams": 16, "answers": 4, "tokens": 300, "pace": 0}'

A process of its own, whose CPU time nobody counts. It says what it saw as one JSON object. With `hold` it keeps its
streams open after the first token until its input is closed.
"""

import asyncio
import json
import secrets
import sys
import time
from typing import Any, NamedTuple, cast

import uvloop


class Load(NamedTuple):
    """What to ask, of whom, how often."""

    port: int
    path: str
    streams: int = 1
    answers: int = 1
    """One after the other on each stream's connection."""
    tokens: int = 300
    pace: int = 0
    same: str = ""
    """A question asked every time, for the cache; else every question is a new one."""
    hold: bool = False


class Stream(asyncio.Protocol):
    """One connection that asks one question after the other."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._left = load.answers
        self._tail = b""
        self.counted = 0
        self.firsts: list[float] = []
        self.broken = ""
        loop = asyncio.get_running_loop()
        self.first: asyncio.Future[None] = loop.create_future()
        self.done: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, for uvloop's own transports derive from nothing of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        load = self._load
        question = f"{load.same or secrets.token_hex(8)} tokens={load.tokens} pace={load.pace}"
        body = json.dumps({"messages": [{"role": "user", "content": question}]})
        self._left -= 1
        self._came = 0
        self._fresh = True
        self._asked = time.perf_counter()
        self._transport.write(
            f"POST {load.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )

    def data_received(self, data: bytes) -> None:
        came = data.count(b"@")
        if self._fresh and not (self._tail + data).startswith(b"HTTP/1.1 200"):
            self._end(f"not an answer: {data[:200]!r}")
            return
        self._fresh = False
        if came and not self._came:
            self.firsts.append(time.perf_counter() - self._asked)
            if not self.first.done():
                self.first.set_result(None)
        self._came += came
        self._tail = (self._tail + data)[-7:]
        if self._tail == b"\r\n0\r\n\r\n":
            self.counted += self._came
            self._tail = b""
            if self._came != self._load.tokens:
                self._end(f"{self._came} tokens instead of {self._load.tokens}: {data[-300:]!r}")
            elif self._left:
                self._ask()
            else:
                self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"the connection was closed: {exc}")

    def _end(self, broken: str = "") -> None:
        if not self.done.done():
            self.broken = broken
            self.done.set_result(None)
            if not self.first.done():
                self.first.set_result(None)
            self._transport.close()


async def run(load: Load) -> dict[str, Any]:
    """Apply the load and tell what came back."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    streams = [
        (await loop.create_connection(lambda: Stream(load), "127.0.0.1", load.port))[1] for _ in range(load.streams)
    ]
    if load.hold:
        await asyncio.gather(*(stream.first for stream in streams))
        print("held", flush=True)
        await loop.run_in_executor(None, sys.stdin.read)
        return {}
    await asyncio.gather(*(stream.done for stream in streams))
    return {
        "tokens": sum(stream.counted for stream in streams),
        "seconds": time.perf_counter() - began,
        "firsts": [first for stream in streams for first in stream.firsts],
        "broken": [stream.broken for stream in streams if stream.broken][:3],
    }


if __name__ == "__main__":
    if told := uvloop.run(run(Load(**json.loads(sys.argv[1])))):
        print(json.dumps(told))
