"""The text dialect: the tokens and nothing else, for `curl` and for clients that append what they receive."""

from collections.abc import Callable, Mapping, Sequence
from typing import assert_never

from headwater.answer import Answer
from headwater.dialects import sse
from headwater.dialects.dialect import BEGINNING, Ask, Cursor, Refusal, Unspeakable
from headwater.dialects.problem import problem
from headwater.entries import Entry
from headwater.events import (
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
from headwater.prompt import Prompt


class Text:
    """Bare text. `body` reads a request, which has the form of another dialect."""

    name = "text"
    media_type = "text/plain; charset=utf-8"
    heartbeat = b""
    delimited = False

    def __init__(self, body: Callable[[bytes], Prompt]) -> None:
        self._body = body

    def ask(self, body: bytes) -> Ask:
        return Ask(self._body(body))

    def cursor(self, headers: Mapping[str, str], query: Mapping[str, str]) -> Cursor:
        return sse.cursor(headers, query)

    def reader(self, message_id: str, cursor: Cursor = BEGINNING) -> "TextReader":
        return TextReader(cursor.after)

    def whole(self, answer: Answer) -> bytes:
        return answer.text.encode()

    def refusal(self, error: Error) -> Refusal:
        return problem(error)

    def headers(self, message_id: str) -> Mapping[str, str]:
        return {}


class TextReader:
    """Encodes a log as its text alone. Only a finished answer ends cleanly: any other ending is `Unspeakable`."""

    def __init__(self, begin: Offset = ORIGIN) -> None:
        self.begin = begin

    def open(self) -> bytes:
        return b""

    def feed(self, page: Sequence[Entry]) -> bytes:
        pieces: list[str] = []
        for entry in page:
            event = entry.event
            match event:
                case TextDelta(text):
                    pieces.append(text)
                case Stop() | Error():
                    raise Unspeakable("".join(pieces).encode())
                case Start() | ReasoningDelta() | Metadata() | Finish() | Unknown():
                    pass
                case ToolCallStart() | ToolCallDelta() | ToolCallEnd() | ToolResult():
                    pass
                case _:
                    assert_never(event)
        return "".join(pieces).encode()

    def broken(self, error: Error) -> bytes:
        raise Unspeakable
