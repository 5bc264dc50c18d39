"""The provider that all servers stream from: OpenAI's chat completions on loopback, in a burst or at a pace.

    python -m bench.upstream PORT

The question itself says how to answer, so that it passes through any server: `tokens=300 pace=8`. The pace is in
milliseconds per token; 0 sends the whole answer in one write, -1 falls silent after the first token. With `parked`, the
answer pauses after the first token until a request with the body `release` arrives. Each token contains one `@`, which
occurs nowhere else, so that clients count tokens by counting bytes. A paced token also contains the time when it was
written, so that a client on the same machine can compute its delay.
"""

import asyncio
import json
import random
import re
import sys
import time
from typing import cast

import uvloop

_ASKED = re.compile(rb"tokens=(\d+) pace=(-?\d+)( parked)?")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"


def _framed(line: str) -> bytes:
    data = f"data: {line}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


def _chunk(delta: dict[str, str], finish: str | None = None, usage: dict[str, int] | None = None) -> bytes:
    # As large as OpenAI's chunks: the JSON around a token is most of its size.
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _framed(
        json.dumps(
            {
                "id": "chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz012",
                "object": "chat.completion.chunk",
                "created": 1760000000,
                "model": "bench-2026-01-01",
                "service_tier": "default",
                "system_fingerprint": "fp_0123456789",
                "choices": [choice] if usage is None else [],
                "usage": usage,
            },
            separators=(",", ":"),
        )
    )


class Answers(asyncio.Protocol):
    """One keep-alive connection."""

    whole: dict[int, bytes] = {}  # noqa: RUF012 - a cache that all connections share
    parked: list["Answers"] = []  # noqa: RUF012 - shared by all connections, and released together

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because uvloop's transports do not derive from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._read = b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, blank, body = self._read.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not blank or (length and len(body) < int(length[1])):
            return
        self._read = b""
        asked = _ASKED.search(body)
        if asked is None:
            self._release()
            return
        self._left, self._pace = int(asked[1]), int(asked[2]) / 1000
        if asked[3]:
            self.parked.append(self)
            self._transport.write(_HEAD + FIRST + stamped())
            self._left -= 1
        elif self._pace == 0:
            self._transport.write(_HEAD + _whole(self._left))
        elif self._pace < 0:
            self._transport.write(_HEAD + FIRST + TOKEN)
        else:
            self._transport.write(_HEAD + FIRST)
            self.go_on()

    def _release(self) -> None:
        for answer in self.parked:
            answer.go_on()
        self.parked.clear()
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def go_on(self) -> None:
        """Send the rest of the answer."""
        if self._pace:
            # A random phase, as with real streams; in phase, one wake-up would serve all streams.
            loop = asyncio.get_running_loop()
            self._due = loop.time() + random.random() * self._pace
            loop.call_at(self._due, self._next)
        else:
            self._transport.write(_numbered(self._left) + LAST)

    def _next(self) -> None:
        if self._transport.is_closing():
            return
        if self._left == 0:
            self._transport.write(LAST)
            return
        self._left -= 1
        self._transport.write(stamped())
        # At absolute times, so that delays do not add up.
        self._due += self._pace
        asyncio.get_running_loop().call_at(self._due, self._next)


TICK = 10_000
"""Nanoseconds per tick of a token's timestamp; its six hexadecimal digits wrap after 168 seconds."""


def stamped() -> bytes:
    """A token that contains the time when it was written."""
    return _token(time.monotonic_ns() // TICK)


def _token(number: int) -> bytes:
    return b"%b%06x@%b" % (_BEFORE, number % 0x1000000, _AFTER)


def _numbered(tokens: int) -> bytes:
    # All tokens differ, because LiteLLM aborts a stream of a hundred equal tokens as a runaway model.
    return b"".join(map(_token, range(tokens)))


FIRST = _chunk({"role": "assistant", "content": ""})
TOKEN = _chunk({"content": " 000000@"})
_BEFORE, _, _AFTER = TOKEN.partition(b"000000@")
LAST = (
    _chunk({}, "stop")
    + _chunk({}, usage={"prompt_tokens": 9, "completion_tokens": 300, "total_tokens": 309})
    + _framed("[DONE]")
    + b"0\r\n\r\n"
)


def _whole(tokens: int) -> bytes:
    if tokens not in Answers.whole:
        Answers.whole[tokens] = FIRST + _numbered(tokens) + LAST
    return Answers.whole[tokens]


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
