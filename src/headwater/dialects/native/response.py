"""Entries as native SSE frames."""

from typing import Any, assert_never

from headwater.dialects import sse
from headwater.events import (
    Entry,
    Error,
    Event,
    Finish,
    Metadata,
    Page,
    ReasoningDelta,
    Start,
    Stop,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolResult,
    Unknown,
    json_of,
)


class NativeWire:
    """Tells a log as Server-Sent Events that carry Headwater's own events."""

    media_type = sse.MEDIA_TYPE
    heartbeat = sse.HEARTBEAT

    def __init__(self, message_id: str) -> None:
        self._message_id = message_id

    def open(self) -> bytes:
        return sse.RETRY

    def feed(self, entry: Entry) -> bytes:
        event = entry.event
        if isinstance(event, TextDelta):  # what nearly all entries are, told by comparing one pointer
            return sse.frame_of(json_of(entry), entry.offset)
        said = spoken(event, self._message_id)
        if said is event:
            return sse.frame_of(json_of(entry), entry.offset)
        return sse.frame(said, entry.offset if entry.data else None)  # what is in no store has no id to resume from

    def feed_all(self, page: Page) -> bytes:
        """The bytes of a page, which are made once for all its readers: only `start` tells one reader from another."""
        frames = page.frames
        if frames is None:
            frames = page.frames = {}
        begin = 1 if isinstance(page[0].event, Start) else 0
        rest = frames.get("native")
        if rest is None:
            rest = frames["native"] = b"".join([self.feed(entry) for entry in page[begin:]])
        return self.feed(page[0]) + rest if begin else rest

    def broken(self, error: Error) -> bytes:
        return sse.frame(spoken(error, self._message_id))


def spoken(event: Event, message_id: str) -> Event | dict[str, Any]:
    """The event as this dialect says it: a replay under its own message id, an error without our HTTP status."""
    match event:
        case Start(own, model):
            return event if own == message_id else Start(message_id, model)
        case Error(code, message, retryable, retry_after):
            said = {"type": "error", "code": code, "message": message, "retryable": retryable}
            return said if retry_after is None else {**said, "retry_after": retry_after}
        case TextDelta() | ReasoningDelta() | Metadata() | Finish() | Stop() | Unknown():
            return event
        case ToolCallStart() | ToolCallDelta() | ToolCallEnd() | ToolResult():
            return event
        case _:
            assert_never(event)
