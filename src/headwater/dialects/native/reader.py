"""Entries as native SSE frames."""

from collections.abc import Sequence
from typing import assert_never

import msgspec

from headwater.dialects import sse
from headwater.entries import Entry, Page, json_of
from headwater.events import (
    Cached,
    Continued,
    Error,
    Event,
    Finish,
    Metadata,
    ReasoningDelta,
    Start,
    Stop,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolResult,
    Unknown,
)
from headwater.offsets import ORIGIN, Offset


class NativeReader:
    """Encodes a log as Server-Sent Events that carry Headwater's own events, one frame for each entry."""

    def __init__(self, message_id: str, begin: Offset = ORIGIN) -> None:
        self.begin = begin
        self.cached: Cached | None = None
        """What `start` tells this reader alone about the cache."""
        self._message_id = message_id
        self._form = sse.template(message_id)

    def open(self) -> bytes:
        return sse.RETRY

    def feed(self, page: Sequence[Entry]) -> bytes:
        if not isinstance(page, Page):
            return self._frames(page)
        # A page's bytes are made once for all its readers: only `start` differs between them.
        frames = page.frames
        if frames is None:
            frames = page.frames = {}
        begin = 1 if isinstance(page[0].event, Start) else 0
        rest = frames.get("native")
        if rest is None:
            rest = frames["native"] = self._frames(page[begin:])
        return self._frame(page[0]) + rest if begin else rest

    def broken(self, error: Error) -> bytes:
        return sse.frame(as_sent(error, self._message_id))

    def _cached(self, start: Start) -> Cached | None:
        """What `start` tells about the cache: with the question that the log was asked, if forms matched."""
        cached = self.cached
        if cached is not None and cached.matched is not None:
            return msgspec.structs.replace(cached, matched=start.cache.matched if start.cache else None)
        return cached

    def _frames(self, page: Sequence[Entry]) -> bytes:
        return self._frame(page[0]) if len(page) == 1 else b"".join([self._frame(entry) for entry in page])

    def _frame(self, entry: Entry) -> bytes:
        event = entry.event
        if isinstance(event, TextDelta):  # nearly every entry, and recognised by comparing one pointer
            return sse.frame_of(json_of(entry), entry.offset, self._form)
        sent = as_sent(event, self._message_id, self._cached(event) if isinstance(event, Start) else None)
        if sent is event:
            return sse.frame_of(json_of(entry), entry.offset, self._form)
        return sse.frame(
            sent, entry.offset if entry.data else None, self._form
        )  # an entry that is in no store has no id


class NamedReader:
    """The same for one of several logs that share a connection: each frame has an `event:` line with the log's id."""

    def __init__(self, message_id: str, begin: Offset = ORIGIN) -> None:
        self._reader = NativeReader(message_id, begin)
        self._event = b"event: %b\n" % message_id.encode()

    def feed(self, page: Sequence[Entry]) -> bytes:
        return self._named(self._reader.feed(page))

    def broken(self, error: Error) -> bytes:
        return self._named(self._reader.broken(error))

    def refused(self, error: Error) -> bytes:
        """The frame that says why the log cannot be read."""
        refusal = {"status": error.status, "code": error.code, "message": error.message, "retryable": error.retryable}
        return self._named(sse.frame({"type": "refused", **refusal}))

    def settled(self) -> bytes:
        """The frame that says that nothing follows: the client has the ending."""
        return self._named(sse.frame({"type": "settled"}))

    def _named(self, frames: bytes) -> bytes:
        # JSON has no line breaks, so a blank line only ends a frame.
        return self._event + frames[:-2].replace(b"\n\n", b"\n\n" + self._event) + b"\n\n"


class SentError(msgspec.Struct, frozen=True, tag="error", omit_defaults=True):
    """The answer broke off; what came before is a part, never the whole. An `Error` without its HTTP status."""

    code: str
    message: str
    retryable: bool
    retry_after: float | None = None


def as_sent(event: Event, message_id: str, cached: Cached | None = None) -> Event | SentError:
    """The event as this dialect sends it: a replay under its own message id, an error without our HTTP status."""
    match event:
        case Start(own, model, created, stored):
            same = own == message_id and cached is None and stored is None
            return event if same else Start(message_id, model, created, cached)
        case Error(code, message, retryable, retry_after):
            return SentError(code, message, retryable, retry_after)
        case TextDelta() | ReasoningDelta() | Metadata() | Continued() | Finish() | Stop() | Unknown():
            return event
        case ToolCallStart() | ToolCallDelta() | ToolCallEnd() | ToolResult():
            return event
        case _:
            assert_never(event)
