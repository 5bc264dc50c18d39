"""What a reader of an answer must know beside its log, and the run id that carries this to a client and back."""

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from typing import NamedTuple
from zlib import crc32

from headwater.errors import NoSuchLog


class Told(NamedTuple):
    """What the request that asked for an answer said about how to show it."""

    own: str = ""
    """The id of the client's message that the answer continues; empty for a message of its own."""
    tools: frozenset[int] = frozenset()
    """Checksums of the names of the page's own tools: names would be too long for a header."""

    def brings(self, tool: str) -> bool:
        """Whether the request brought this tool."""
        return bool(self.tools) and crc32(tool.encode()) in self.tools


def checksums(tools: Iterable[str]) -> frozenset[int]:
    """The field `Told.tools` for these names."""
    return frozenset(crc32(tool.encode()) for tool in tools)


def run_id(message_id: str, told: Told) -> str:
    """A message id, and what was told unless that is nothing: opaque to clients, safe in headers and paths."""
    if told == Told():
        return message_id
    tools = struct.pack(f">{len(told.tools)}I", *sorted(told.tools))
    return ".".join(
        [message_id, *(urlsafe_b64encode(part).decode().rstrip("=") for part in (tools, told.own.encode()))]
    )


def read_run_id(written: str) -> tuple[str, Told]:
    """The message id and what was told. Raises `NoSuchLog` for what is no run id."""
    message_id, *parts = written.split(".")
    if not parts:
        return message_id, Told()
    try:
        tools, own = (urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in parts)
        return message_id, Told(own.decode(), frozenset(struct.unpack(f">{len(tools) // 4}I", tools)))
    except (ValueError, struct.error) as error:
        raise NoSuchLog.of(written[:100]) from error
