"""Entries as the events of Anthropic's streams: a fold for `FoldReader`. Pure.

An answer is a row of content blocks, of which one is open at a time. A text or reasoning may go on in a block of its
own later, but a tool call is one block. So what comes while a call is open is held until the call ends.
"""

from collections.abc import Sequence
from typing import NamedTuple, assert_never

from headwater.dialects.anthropic.whole import REASONS, SIGNATURE, counts, error_object, tool_id
from headwater.dialects.fold import AGAIN, ID, Chain, listed, quoted
from headwater.dialects.openai_error import STOPPED
from headwater.dialects.sse import encode
from headwater.entries import Entry
from headwater.events import (
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

_START = (
    b'{"type":"message_start","message":{"id":"%b","type":"message","role":"assistant","model":%b,"content":[],'
    b'"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0}}}'
)
"""The counts are not known yet; those of `message_delta` replace them."""
_TEXT, _THINKING = b'"text_delta","text":', b'"thinking_delta","thinking":'
_ARGUMENTS, _SIGNATURE = b'"input_json_delta","partial_json":', b'"signature_delta","signature":'


class _State(NamedTuple):
    block: int = 0
    """Of the open block, or else of the next one."""
    open: bytes = b""
    """What a delta of the open block begins with; empty while none is open."""
    text: bytes = b""
    """A whole delta up to its text, while the open block is one of text."""
    call: str | None = None
    """The id of the open call."""
    held: Chain = None
    """Events that wait for the end of the open call."""


class Encoder:
    """Encodes a log as `message_start`, content blocks, `message_delta` and `message_stop`, or as an `error`."""

    name = "anthropic"

    def __init__(self) -> None:
        self.state = _State()

    def encode(self, entry: Entry) -> Sequence[bytes]:
        event = entry.event
        if isinstance(event, TextDelta) and (text := self.state.text):
            return (text + encode(event.text) + b"}}",)
        return self._told(event)

    def broken(self, error: Error) -> Sequence[bytes]:
        return (encode(error_object(error)),)

    def _told(self, event: Event) -> list[bytes]:
        call = self.state.call
        match event:
            case Start(_, model):
                return [_START % (ID, encode(model)), b'{"type":"ping"}']
            case Finish(reason, usage):
                lines: list[bytes] = []
                while self.state.open:
                    lines += self._closed()
                delta = {"stop_reason": REASONS.get(reason, reason), "stop_sequence": None}
                last = {"type": "message_delta", "delta": delta, "usage": counts(usage)}
                return [*lines, encode(last), b'{"type":"message_stop"}']
            case Stop():
                return [*self.broken(STOPPED)]
            case Error():
                return [*self.broken(event)]
            case Metadata() | Continued() | Unknown():
                return []
            case ToolCallDelta(id, arguments) if id == call:
                return [self._delta(arguments)] if arguments else []
            case ToolCallEnd(id) | ToolResult(id) if id == call:
                return self._closed()
            case _ if call is not None:
                self.state = self.state._replace(held=(self.state.held, event))
                return []
            case TextDelta(text):
                return self._said(_TEXT, b'{"type":"text","text":""}', text)
            case ReasoningDelta(text):
                return self._said(_THINKING, b'{"type":"thinking","thinking":"","signature":""}', text)
            case ToolCallStart(id, name):
                block = b'{"type":"tool_use","id":%b,"name":%b,"input":{}}'
                return self._opened(_ARGUMENTS, block % (quoted(tool_id(id), AGAIN), encode(name)), id)
            case ToolCallDelta() | ToolCallEnd() | ToolResult():
                return []  # of a call that never began, or has ended
            case _:
                assert_never(event)

    def _said(self, kind: bytes, block: bytes, text: str) -> list[bytes]:
        if not text:
            return []  # Anthropic's servers refuse a history with an empty block
        return [*(() if self.state.open == kind else self._opened(kind, block)), self._delta(text)]

    def _opened(self, kind: bytes, block: bytes, call: str | None = None) -> list[bytes]:
        lines = self._closed()
        index = self.state.block
        text = self._begun(index, _TEXT) if kind is _TEXT else b""
        self.state = _State(index, kind, text, call)
        return [*lines, b'{"type":"content_block_start","index":%d,"content_block":%b}' % (index, block)]

    def _closed(self) -> list[bytes]:
        """Close the open block, if there is one, and say what has waited for that."""
        index, open, _, _, held = self.state
        if not open:
            return []
        lines = [self._begun(index, _SIGNATURE) + b'"%b"}}' % SIGNATURE.encode()] if open is _THINKING else []
        lines.append(b'{"type":"content_block_stop","index":%d}' % index)
        self.state = _State(index + 1)
        for event in listed(held):
            lines += self._told(event)
        return lines

    def _delta(self, text: str) -> bytes:
        return self._begun(self.state.block, self.state.open) + encode(text) + b"}}"

    def _begun(self, index: int, kind: bytes) -> bytes:
        return b'{"type":"content_block_delta","index":%d,"delta":{"type":%b' % (index, kind)
