"""Server-Sent Events, as the WHATWG HTML standard §9.2 writes them. The only file that writes `data: `.

LF only, since some clients split on a bare blank line. One line of pure ASCII JSON, since some clients cut lines at
U+2028 and U+0085 too. The id stands on the last frame of an entry, so that no reader can resume inside one.
"""

import json
from typing import Any

import msgspec

from headwater.offsets import Offset

MEDIA_TYPE = "text/event-stream; charset=utf-8"

HEARTBEAT = b":\n"
"""A comment line without a blank line after it: some parsers take `:` + blank line for an empty message."""

RETRY = b"retry: 2000\n\n"
"""Milliseconds after which a client should come back when the connection breaks."""

_encode = msgspec.json.Encoder().encode


def plain(data: Any) -> Any:
    """The same as plain JSON values, for a response that is not a stream."""
    return msgspec.to_builtins(data)


def frame(data: Any, offset: Offset | None = None) -> bytes:
    """One event: `data` as JSON, under the id by which a client comes back for what follows."""
    line = _encode(data)
    if not line.isascii():
        line = json.dumps(json.loads(line), separators=(",", ":")).encode()
    if offset is None:
        return b"data: %b\n\n" % line
    return b"id: %d-%d\ndata: %b\n\n" % (*offset, line)
