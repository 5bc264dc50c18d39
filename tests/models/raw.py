"""A provider whose answers are written byte by byte in the test, for bytes that no well-behaved server sends."""

import asyncio
import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from upstream import Received, Upstream

DONE = b"data: [DONE]\n\n"


@dataclasses.dataclass(kw_only=True)
class Raw(Upstream):
    """Sends `pieces` as the body of every answer, `pace` seconds apart, and closes the connection."""

    pieces: Sequence[bytes] = ()

    async def _answer(self, request: Received, number: int, writer: asyncio.StreamWriter) -> None:
        length = sum(map(len, self.pieces))
        writer.write(f"HTTP/1.1 {self.status} Raw\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n".encode())
        for piece in self.pieces:
            writer.write(piece)
            await writer.drain()
            await self._hold()


def line(content: Any, end: str = "\n") -> bytes:
    """A JSON value as one event of a stream."""
    return f"data: {json.dumps(content)}{end}{end}".encode()


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    """A chat chunk as one event of a stream."""
    return line({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def call_chunk(index: int, id: str | None = None, name: str | None = None, arguments: str = "") -> bytes:
    """A piece of a tool call as one event of a stream."""
    return chunk(tool_calls=[{"index": index, "id": id, "function": {"name": name, "arguments": arguments}}])
