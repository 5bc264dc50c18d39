"""The load generator: asks over many connections at once, counts tokens and measures their delay.

    python -m bench.client '{"port": 8000, "path": "/…", "streams": 16, "answers": 4, "tokens": 300, "pace": 0}'

It runs in its own process, so that its CPU time is not counted, and prints its result as one JSON object. With `hold`
it pauses after the first token of every stream and prints `held`; a line on standard input lets it continue, the end of
standard input ends it.
"""

import asyncio
import json
import re
import secrets
import statistics
import sys
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import uvloop

from bench.upstream import TICK

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STAMP = re.compile(rb"([0-9a-f]{6})@")
ENDING = b"\r\n0\r\n\r\n"


class Load(NamedTuple):
    """A load: which server to ask, what, and how often."""

    port: int
    path: str
    streams: int = 1
    answers: int = 1
    """Answers requested one after the other on each connection."""
    tokens: int = 300
    pace: int = 0
    same: str = ""
    """Question to repeat, so that the cache answers; empty: every question is unique."""
    extra: Mapping[str, Any] = {}
    """Fields of the request body besides the messages."""
    form: str = ""
    """The form of the body: `ai-sdk`, `ag-ui`, or that of OpenAI's chat API."""
    hold: bool = False
    parked: bool = False
    """Whether the provider pauses after the first token until it is released."""

    def question(self) -> str:
        """The question; unique unless `same` is set."""
        parked = " parked" if self.parked else ""
        return f"{self.same or secrets.token_hex(8)} tokens={self.tokens} pace={self.pace}{parked}"

    def body(self) -> dict[str, Any]:
        """The request's body, with a question."""
        asked, fresh = self.question(), secrets.token_hex(8)
        if self.form == "ai-sdk":  # each chat has one run at a time, so each question is a chat of its own
            message = {"id": "1", "role": "user", "parts": [{"type": "text", "text": asked}]}
            return {"id": fresh, "trigger": "submit-message", "messages": [message]}
        body = {**self.extra, "messages": [{"role": "user", "content": asked}]}
        if self.form == "ag-ui":
            body["messages"][0]["id"] = "1"
            body |= {"threadId": fresh, "runId": fresh, "state": {}, "tools": [], "context": [], "forwardedProps": {}}
        return body


class Stream(asyncio.Protocol):
    """One connection that asks its questions one after the other."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._left = load.answers
        self._tail = self._last = b""
        self.counted = self.bytes = 0
        self.firsts: list[float] = []
        self.delays: list[int] = []
        """Delay of each paced token, in the provider's ticks."""
        self.broken = ""
        loop = asyncio.get_running_loop()
        self.first: asyncio.Future[None] = loop.create_future()
        self.done: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because uvloop's transports do not derive from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        load = self._load
        body = json.dumps(load.body())
        self._left -= 1
        self._came = 0
        self._missing: int | None = None
        self._head: bytes | None = b""
        self._asked = time.perf_counter()
        self._transport.write(
            f"POST {load.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )

    def data_received(self, data: bytes) -> None:
        self.bytes += len(data)
        self._last = (self._last + data)[-400:]
        if self._head is not None:
            self._head += data
            head, blank, data = self._head.partition(b"\r\n\r\n")
            if not self._head.startswith(b"HTTP/1.1 200"[: len(self._head)]):
                self._end(f"not an answer: {self._head[:800]!r}")
                return
            if not blank:
                return
            self._head = None
            length = _LENGTH.search(head)
            self._missing = int(length[1]) if length else None
        came = data.count(b"@")
        if came and not self._came:
            self.firsts.append(time.perf_counter() - self._asked)
            if not self.first.done():
                self.first.set_result(None)
        self._came += came
        if self._missing is not None:
            self._missing -= len(data)
        if came and self._load.pace > 0:
            self._note(data)
        self._tail = (self._tail + data)[-7:]
        if self._tail == ENDING or self._missing == 0:
            self._ended()

    def _note(self, data: bytes) -> None:
        # The tail holds the first part of a token that was split across reads; `@` ends a token.
        now = time.monotonic_ns() // TICK
        begun = self._tail.rpartition(b"@")[2]
        self.delays += [(now - int(stamp, 16)) % 0x1000000 for stamp in _STAMP.findall(begun + data)]

    def _ended(self) -> None:
        self.counted += self._came
        self._tail = b""
        if self._came != self._load.tokens:
            self._end(f"{self._came} tokens instead of {self._load.tokens}: {self._last!r}")
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
    """Apply the load and return what was received."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    streams = [
        (await loop.create_connection(lambda: Stream(load), "127.0.0.1", load.port))[1] for _ in range(load.streams)
    ]
    if load.hold:
        await asyncio.gather(*(stream.first for stream in streams))
        print(next((stream.broken for stream in streams if stream.broken), "held"), flush=True)
        if not await loop.run_in_executor(None, sys.stdin.readline):
            return {}
    await asyncio.gather(*(stream.done for stream in streams))
    delays = [delay * TICK / 1e6 for stream in streams for delay in stream.delays]
    return {
        "tokens": sum(stream.counted for stream in streams),
        "bytes": sum(stream.bytes for stream in streams),
        "seconds": time.perf_counter() - began,
        "firsts": [first * 1000 for stream in streams for first in stream.firsts],
        "delays": [percentile(delays, part) for part in (0.5, 0.99)] if len(delays) > 1 else [],
        "broken": [stream.broken for stream in streams if stream.broken][:3],
    }


def percentile(values: list[float], part: float) -> float:
    """The percentile of the values; `part` is 0 to 1."""
    return statistics.quantiles(values, n=1000, method="inclusive")[int(part * 1000) - 1]


if __name__ == "__main__":
    if told := uvloop.run(run(Load(**json.loads(sys.argv[1])))):
        print(json.dumps(told))
