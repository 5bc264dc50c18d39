"""A provider whose answers are written byte by byte in the test, for bytes that no well-behaved server sends."""

import asyncio
import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from upstream import Received, Upstream, reset

DONE = b"data: [DONE]\n\n"


@dataclasses.dataclass(kw_only=True)
class Raw(Upstream):
    """Sends `pieces` as the body of every answer, `pace` seconds apart, and closes the connection."""

    pieces: Sequence[bytes] = ()
    then: Literal["close", "silence", "heartbeats", "reset"] = "close"
    """What follows the last piece; anything but `close` leaves the body unfinished."""
    response_headers: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])

    async def _answer(self, request: Received, number: int, writer: asyncio.StreamWriter) -> None:
        length = sum(map(len, self.pieces)) + (0 if self.then == "close" else 1_000_000)
        status = self.status if isinstance(self.status, int) else self.status[min(number, len(self.status)) - 1]
        headers = {"Connection": "close", "Content-Length": str(length), **self.response_headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {status} Raw\r\n{lines}\r\n".encode())
        for piece in self.pieces:
            writer.write(piece)
            await writer.drain()
            await self._hold()
        while self.then == "heartbeats":
            await asyncio.sleep(0.05)
            writer.write(b": still here\n\n")
            await writer.drain()
        if self.then == "silence":
            await asyncio.Event().wait()
        if self.then == "reset":
            reset(writer)


def line(content: Any, end: str = "\n") -> bytes:
    """A JSON value as one event of a stream."""
    return f"data: {json.dumps(content)}{end}{end}".encode()


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    """A chat chunk as one event of a stream."""
    return line({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def call_chunk(index: int, id: str | None = None, name: str | None = None, arguments: str = "") -> bytes:
    """A piece of a tool call as one event of a stream."""
    return chunk(tool_calls=[{"index": index, "id": id, "function": {"name": name, "arguments": arguments}}])
