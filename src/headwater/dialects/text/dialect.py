"""The text dialect: the tokens and nothing else, for `curl` and for clients that append what they receive."""

from collections.abc import Callable, Mapping, Sequence
from typing import assert_never

from headwater.dialects import sse
from headwater.dialects.dialect import BEGINNING, Ask, Cursor, Dialect, Refusal, Unspeakable
from headwater.dialects.fold import check_follows
from headwater.dialects.problem import problem
from headwater.entries import Entry
from headwater.events import (
    Continued,
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
from headwater.offsets import ORIGIN, Offset


class Text(Dialect):
    """Bare text. `body` reads a request in the form of another dialect, which has to write whole answers too."""

    name = "text"
    media_type = "text/plain; charset=utf-8"
    heartbeat = b""
    delimited = False

    def __init__(self, body: Callable[[bytes], Ask]) -> None:
        self._body = body

    def ask(self, body: bytes) -> Ask:
        return self._body(body)

    def cursor(self, headers: Mapping[str, str], query: Mapping[str, str]) -> Cursor:
        return sse.cursor(headers, query)

    def reader(self, message_id: str, cursor: Cursor = BEGINNING) -> "TextReader":
        return TextReader(cursor.after)

    def refusal(self, error: Error) -> Refusal:
        return problem(error)


_WITHOUT_TEXT = Error(
    "not_acceptable",
    "This answer is a tool call and has no text; accept text/event-stream or application/json to read it.",
    status=406,
)


class TextReader:
    """Encodes a log as its text alone. Only a finished answer ends cleanly: any other ending is `Unspeakable`.

    `feed` raises `Diverged` for a client that has more than was stored before a seam.
    """

    def __init__(self, begin: Offset = ORIGIN) -> None:
        self.begin = begin
        self._has_text = begin != ORIGIN  # a client that resumes may have read some
        self._has_calls = False
        self._last: Entry | Offset = begin

    def open(self) -> bytes:
        return b""

    def feed(self, page: Sequence[Entry]) -> bytes:
        check_follows(page[0], self._last)
        self._last = page[-1]
        pieces: list[str] = []
        for entry in page:
            event = entry.event
            match event:
                case TextDelta(text):
                    pieces.append(text)
                    self._has_text = True
                case Stop() | Error():
                    raise Unspeakable("".join(pieces).encode())
                case Finish(reason) if not self._has_text and (self._has_calls or reason == "tool_calls"):
                    raise Unspeakable(instead=_WITHOUT_TEXT)
                case ToolCallStart():
                    self._has_calls = True
                case Start() | ReasoningDelta() | Metadata() | Continued() | Finish() | Unknown():
                    pass
                case ToolCallDelta() | ToolCallEnd() | ToolResult():
                    pass
                case _:
                    assert_never(event)
        return "".join(pieces).encode()

    def broken(self, error: Error) -> bytes:
        raise Unspeakable
