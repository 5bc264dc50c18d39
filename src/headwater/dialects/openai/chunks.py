"""Entries as the chunks of OpenAI's streams: a fold for `FoldReader`. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, assert_never

from headwater.dialects import shapes
from headwater.dialects.fold import AGAIN, ID, quoted
from headwater.dialects.openai.request import Kind
from headwater.dialects.openai_error import STOPPED, error_object
from headwater.dialects.sse import encode
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
    Usage,
)

DONE = b"[DONE]"
"""The last frame, which only a finished answer has."""

OBJECTS: dict[Kind, str] = {"chat": "chat.completion", "completion": "text_completion"}
"""The `object` of a whole answer; chunks of a chat have one of their own."""


class _State(NamedTuple):
    """What a chunk needs of the entries before it."""

    envelope: bytes
    """The fields of every chunk, up to its choices."""
    text: bytes
    """The chunk of a piece of text, up to that text."""
    calls: Mapping[str, Sequence[int]] = {}
    """The indexes of the tool calls with an id; a mapping that is never changed, so that a copy is a reference."""
    called: int = 0
    """How many tool calls have begun."""


class Chunks:
    """Encodes a log as `chat.completion.chunk` or `text_completion` objects; with `usage`, as its option asks."""

    state: _State

    def __init__(self, kind: Kind, usage: bool = False) -> None:
        self.name = f"openai-{kind}{'+usage' if usage else ''}"
        self._kind: Kind = kind
        self._usage = usage
        no_usage = b',"usage":null}' if usage else b"}"
        self._begin, open = (b'"delta":', b'{"content":') if kind == "chat" else (b'"text":', b"")
        self._end = b',"finish_reason":%b}]' + no_usage
        if kind == "completion":
            self._end = b',"logprobs":null' + self._end
        self._open = open
        self._close = (b"}" if kind == "chat" else b"") + self._end % b"null"
        self.state = self._started(Start("", ""))  # for a log that holds nothing but its ending

    def encode(self, entry: Entry) -> Sequence[bytes]:
        event = entry.event
        if isinstance(event, TextDelta):
            return (self.state.text + encode(event.text) + self._close,)
        match event:
            case Start():
                self.state = self._started(event)
                return self._delta(b'{"role":"assistant","content":""}')
            case ReasoningDelta(text):
                return self._delta(b'{"reasoning_content":%b}' % encode(text))
            case ToolCallStart(id, name):
                return self._call(id, name)
            case ToolCallDelta(id, arguments):
                pieces = [
                    b'{"index":%d,"function":{"arguments":%b}}' % (index, encode(arguments))
                    for index in self.state.calls.get(id, ())
                ]
                return self._delta(b'{"tool_calls":[%b]}' % b",".join(pieces)) if pieces else ()
            case Metadata(data):
                own, of_calls = shapes.needed_back(data)
                told = [(index, fields) for id, fields in of_calls.items() for index in self.state.calls.get(id, ())]
                calls: list[Any] = [{**fields, "index": index, "function": {}} for index, fields in told]
                own |= {"tool_calls": calls} if calls else {}
                return self._delta(encode(own)) if own else ()
            case Finish(reason, usage):
                return self._finish(encode(reason), usage)
            case Stop():
                return self.broken(STOPPED)
            case Error():
                return self.broken(event)
            case ToolCallEnd() | ToolResult() | Continued() | Unknown():
                return ()
            case _:
                assert_never(event)

    def broken(self, error: Error) -> Sequence[bytes]:
        return (encode(error_object(error)),)

    def _started(self, start: Start) -> _State:
        kind = OBJECTS[self._kind] + (".chunk" if self._kind == "chat" else "")
        envelope = b'{"id":"%b","object":"%b","created":%d,"model":%b,"choices":[' % (
            ID,
            kind.encode(),
            start.created,
            encode(start.model),
        )
        return _State(envelope, envelope + b'{"index":0,' + self._begin + self._open)

    def _delta(self, delta: bytes, reason: bytes = b"null") -> Sequence[bytes]:
        """A chunk with something else than text, for which completions have no word."""
        if self._kind == "completion":
            return ()
        return (self.state.envelope + b'{"index":0,' + self._begin + delta + self._end % reason,)

    def _call(self, id: str, name: str) -> Sequence[bytes]:
        envelope, text, calls, index = self.state
        self.state = _State(envelope, text, {**calls, id: (*calls.get(id, ()), index)}, index + 1)
        function = b'{"name":%b,"arguments":""}' % encode(name)
        call = b'{"index":%d,"id":%b,"type":"function","function":%b}' % (index, quoted(id, AGAIN), function)
        return self._delta(b'{"tool_calls":[%b]}' % call)

    def _finish(self, reason: bytes, usage: Usage | None) -> Sequence[bytes]:
        empty = b"{}" if self._kind == "chat" else b'""'
        envelope = self.state.envelope
        last = envelope + b'{"index":0,' + self._begin + empty + self._end % reason
        if usage is None or not self._usage:
            return (last, DONE)
        return (last, envelope + b'],"usage":%b}' % encode(counts(usage)), DONE)


def counts(usage: Usage) -> dict[str, Any]:
    """Token counts in OpenAI's words."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": usage.of_cache(),
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
