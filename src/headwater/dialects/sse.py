"""Server-Sent Events, as the WHATWG HTML standard §9.2 writes them. The only file that writes `data: `.

LF only, since some clients split on a bare blank line. One line of pure ASCII JSON, since some clients cut lines at
U+2028 and U+0085 too. The id stands in the last frame of an entry, so that no reader can resume inside one. It is the
frame's last line: fetch-event-source takes it before it has the frame, and cut between the two it would lose the event.
"""

import re
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import Any, Protocol

import msgspec

from headwater.dialects.dialect import BEGINNING, Cursor, Dialect
from headwater.offsets import Offset, parse_with_run, run_of

MEDIA_TYPE = "text/event-stream; charset=utf-8"

HEARTBEAT = b":\n"
"""A comment line without a blank line after it: some parsers take `:` + blank line for an empty message."""

SEAM = b": continued\n"
"""A comment line, like a heartbeat, where an answer goes on after a break and the dialect has no word for that."""

RETRY = b"retry: 2000\n"
"""Milliseconds after which a client should reconnect when the connection breaks. A line of the first frame: alone in a
frame, it is an event without data to some clients."""

CURSORS = ("after", "lastEventId", "last_event_id")
"""The names of a cursor in a query: ours, and those of polyfills of EventSource, which cannot set a header."""

PLAIN = b"data: %b\nid: %d-%d\n\n"
"""The form of a frame whose id names no run; see `template`."""

encode = msgspec.json.Encoder().encode
"""JSON on one line, not yet ASCII."""
_FOREIGN = re.compile("[^\0-~]+")
"""Characters that must be escaped. JSON has them inside strings only, so each can be escaped on its own."""


def cursor(headers: Mapping[str, str], query: Mapping[str, str]) -> Cursor:
    """Where a client goes on: its `Last-Event-ID` header, else the query, else the beginning. Raises `RequestError`."""
    for written in (headers.get("last-event-id"), *map(query.get, CURSORS)):
        if written and (written := written.strip()):
            after, run = parse_with_run(written)
            return Cursor(after, run=run)
    return BEGINNING


class EventStream(Dialect, Protocol):
    """What dialects over Server-Sent Events have in common, unless they say otherwise."""

    media_type = MEDIA_TYPE
    heartbeat = HEARTBEAT
    delimited = False
    """To most clients a stream that stops without an ending has succeeded."""

    def cursor(self, headers: Mapping[str, str], query: Mapping[str, str]) -> Cursor:
        return cursor(headers, query)

    def headers(self, message_id: str) -> Mapping[str, str]:
        return {"x-request-id": message_id}


def template(message_id: str) -> bytes:
    """The form of the frames of one log, with its run in their ids; made once, since `%` is dear for each token."""
    run = run_of(message_id).encode()
    return b"data: %%b\nid: %%d-%%d.%b\n\n" % run if run else PLAIN


def frame(data: Any, offset: Offset | None = None, form: bytes = PLAIN) -> bytes:
    """One event as a frame: `data` as JSON, under the id after which a client resumes.

    `form` is the log's `template`. Without an offset the frame has no id.
    """
    return frame_of(encode(data), offset, form)


def frame_of(line: bytes, offset: Offset | None = None, form: bytes = PLAIN) -> bytes:
    """One event that is JSON already, as a frame."""
    if not line.isascii():
        line = ascii(line)
    if offset is None:
        return b"data: %b\n\n" % line
    epoch, sequence = offset
    return form % (line, epoch, sequence)


def frames(
    lines: Sequence[bytes], offset: Offset | None, run: bytes, named: bool = False, id_first: bool = False
) -> bytes:
    """The lines of one entry as frames. The id stands in the last, so that no client resumes inside an entry.

    `run` is what follows the offset in an id: a dot and the log's run. With `named`, each frame has an `event:` line:
    the `type` with which its JSON begins. With `id_first`, the id precedes the data, for clients that take an id for
    the data after it, such as TanStack's.
    """
    last = len(lines) - 1
    if not last and offset is not None and (line := lines[0]).isascii():  # nearly every entry
        epoch, sequence = offset
        if named:
            name = line[9 : line.index(b'"', 9)]
            return b"event: %b\ndata: %b\nid: %d-%d%b\n\n" % (name, line, epoch, sequence, run)
        if id_first:
            return b"id: %d-%d%b\ndata: %b\n\n" % (epoch, sequence, run, line)
        return b"data: %b\nid: %d-%d%b\n\n" % (line, epoch, sequence, run)
    body = b""
    for index, line in enumerate(lines):
        line = ascii(line)
        if named:
            body += b"event: %b\n" % line[9 : line.index(b'"', 9)]  # after `{"type":"`
        if index < last or offset is None:
            body += b"data: %b\n\n" % line
        elif id_first:
            body += b"id: %d-%d%b\ndata: %b\n\n" % (offset[0], offset[1], run, line)
        else:
            body += b"data: %b\nid: %d-%d%b\n\n" % (line, offset[0], offset[1], run)
    return body


def ascii(line: bytes) -> bytes:
    """A line of JSON with everything escaped that is not ASCII."""
    return line if line.isascii() else _FOREIGN.sub(_escaped, line.decode()).encode()


def _escaped(match: re.Match[str]) -> str:
    return encode_basestring_ascii(match[0])[1:-1]
