"""The provider that all sides stream from: OpenAI's chat completions on loopback, as fast as accepted or paced.

    python -m bench.upstream PORT

How to answer stands in the question itself, `tokens=300 pace=8` (milliseconds before each token; 0 sends the whole
answer in one write, -1 falls silent after the first token), so that it passes through any server unchanged. Each token
holds one `@` and nothing else does, so that whoever counts them counts bytes.
"""

import asyncio
import json
import random
import re
import sys
from typing import cast

import uvloop

_ASKED = re.compile(rb"tokens=(\d+) pace=(-?\d+)")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"


def _framed(line: str) -> bytes:
    data = f"data: {line}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


def _chunk(delta: dict[str, str], finish: str | None = None, usage: dict[str, int] | None = None) -> bytes:
    # As large as OpenAI's own: the names around a token are most of what is read.
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
    """One connection, kept alive from answer to answer."""

    whole: dict[int, bytes] = {}  # noqa: RUF012 - shared by all connections on purpose: encoded once

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, for uvloop's own transports derive from nothing of asyncio's.
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
        tokens, pace = (int(asked[1]), int(asked[2])) if asked else (1, 0)
        if pace == 0:
            self._transport.write(_HEAD + _whole(tokens))
            return
        self._transport.write(_HEAD + FIRST)
        if pace < 0:
            self._transport.write(TOKEN)
        else:
            # Streams out of step with each other, as real ones are; in step, one wake-up would serve them all.
            asyncio.get_running_loop().call_later(random.random() * pace / 1000, self._next, tokens, pace / 1000)

    def _next(self, left: int, pace: float) -> None:
        if self._transport.is_closing():
            return
        if left == 0:
            self._transport.write(LAST)
            return
        self._transport.write(TOKEN)
        asyncio.get_running_loop().call_later(pace, self._next, left - 1, pace)


FIRST = _chunk({"role": "assistant", "content": ""})
TOKEN = _chunk({"content": " word@"})
LAST = (
    _chunk({}, "stop")
    + _chunk({}, usage={"prompt_tokens": 9, "completion_tokens": 300, "total_tokens": 309})
    + _framed("[DONE]")
    + b"0\r\n\r\n"
)


def _whole(tokens: int) -> bytes:
    if tokens not in Answers.whole:
        Answers.whole[tokens] = FIRST + TOKEN * tokens + LAST
    return Answers.whole[tokens]


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
