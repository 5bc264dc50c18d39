"""Entries as bare text, for `curl` and for clients that append what they receive."""

from typing import assert_never

from headwater.dialects.dialect import Unspeakable
from headwater.events import (
    Entry,
    Error,
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


class TextWire:
    """Tells a log as its text alone. Only an answer that finished ends cleanly; the dialect has no other word."""

    media_type = "text/plain; charset=utf-8"
    heartbeat = b""

    def open(self) -> bytes:
        return b""

    def feed(self, entry: Entry) -> bytes:
        event = entry.event
        match event:
            case TextDelta(text):
                return text.encode()
            case Stop() | Error():
                raise Unspeakable
            case Start() | ReasoningDelta() | Metadata() | Finish() | Unknown():
                return b""
            case ToolCallStart() | ToolCallDelta() | ToolCallEnd() | ToolResult():
                return b""
            case _:
                assert_never(event)

    def broken(self, error: Error) -> bytes:
        raise Unspeakable
