"""Entries as AG-UI events, one JSON line each.

The clients check the order: everything that is open must be closed before `RUN_FINISHED`, nothing follows it, and a
delta is never empty. A text stays open beside tool calls. A tool's result closes it, and text after that begins a new
message.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, assert_never

import msgspec

from headwater.dialects import sse
from headwater.dialects.fold import AGAIN, ID, Chain, counted, listed, quoted
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
    Usage,
)

THREAD, RUN = b"\2", b"\3"
"""The gaps for the ids that the client has chosen."""

_RUN = b'"threadId":"%b","runId":"%b"' % (THREAD, RUN)


class _State(NamedTuple):
    text: bytes = b""
    """How each piece of the open text begins, made once for all of them; empty while no text is open."""
    reasoning: bool = False
    """Whether reasoning is open."""
    step: int = 0
    """How often tools have returned something: each time a new message begins."""
    calls: tuple[str, ...] = ()
    """The tool calls that are open."""
    results: Chain = None
    """Pieces of results, which go out whole: the id of the call, the piece."""
    asked: Chain = None
    """Calls and their arguments: the id, the name of a call that begins, the piece; without both it is a result."""


class AguiEncoder:
    """The frames of a log for AG-UI's clients."""

    name = "ag-ui"

    def __init__(self) -> None:
        self.state = _State()

    def encode(self, entry: Entry) -> Sequence[bytes]:
        event, state = entry.event, self.state
        if isinstance(event, TextDelta) and state.text and event.text:  # nearly every entry
            return (b"%b%b}" % (state.text, sse.encode(event.text)),)
        lines: list[bytes] = []
        if state.results and not isinstance(event, ToolResult):
            lines += self._results()
        lines += self._said(event)
        return lines

    def broken(self, error: Error) -> Sequence[bytes]:
        return (_error(error.code, error.message),)

    def _said(self, event: Event) -> Sequence[bytes]:
        match event:
            case Start():
                return (b'{"type":"RUN_STARTED",%b}' % _RUN,)
            case TextDelta(text):
                return self._text(text) if text else ()
            case ReasoningDelta(text):
                return self._reasoning(text) if text else ()
            case ToolCallStart(id, name):
                return self._call(id, name)
            case ToolCallDelta(id, arguments):
                if not arguments or id not in self.state.calls:
                    return ()
                self.state = self.state._replace(asked=(self.state.asked, (id, None, arguments)))
                return (b'{"type":"TOOL_CALL_ARGS","toolCallId":%b,"delta":%b}' % (_call(id), quoted(arguments)),)
            case ToolCallEnd(id):
                return self._end_call(id) if id in self.state.calls else ()
            case ToolResult(id, output):
                before = self._end_text()
                results, asked = (self.state.results, (id, output)), (self.state.asked, (id, None, None))
                self.state = self.state._replace(results=results, asked=asked)
                return before
            case Metadata(data):
                return (b'{"type":"CUSTOM","name":"headwater","value":%b}' % sse.encode(data),)
            case Finish(reason, usage):
                own = self._own_calls() if reason == "tool_calls" else ()
                return (*self._close(), *own, self._finished(reason, usage))
            case Stop():
                return (*self._close(), _error("stopped", "The answer was stopped."))
            case Error(code, message):
                return (*self._close(), _error(code, message))
            case Continued():
                return (b'{"type":"CUSTOM","name":"continued","value":%b}' % sse.encode(event),)
            case Unknown():
                return ()
            case _:
                assert_never(event)

    def _id(self) -> bytes:
        step = self.state.step
        return b'"%b-%d"' % (ID, step + 1) if step else b'"%b"' % ID

    def _text(self, text: str) -> Sequence[bytes]:
        before, id = self._end_reasoning(), self._id()
        content = b'{"type":"TEXT_MESSAGE_CONTENT","messageId":%b,"delta":' % id
        self.state = self.state._replace(text=content)
        start = b'{"type":"TEXT_MESSAGE_START","messageId":%b,"role":"assistant"}' % id
        return (*before, start, b"%b%b}" % (content, sse.encode(text)))

    def _reasoning(self, text: str) -> Sequence[bytes]:
        id, lines = self._id()[:-1] + b'-r"', list[bytes]()
        if not self.state.reasoning:
            lines += self._end_text()
            self.state = self.state._replace(reasoning=True)
            lines.append(b'{"type":"REASONING_START","messageId":%b}' % id)
            lines.append(b'{"type":"REASONING_MESSAGE_START","messageId":%b,"role":"reasoning"}' % id)
        lines.append(b'{"type":"REASONING_MESSAGE_CONTENT","messageId":%b,"delta":%b}' % (id, quoted(text)))
        return lines

    def _call(self, id: str, name: str) -> Sequence[bytes]:
        before = [*self._end_reasoning(), *(self._end_call(id) if id in self.state.calls else ())]
        self.state = self.state._replace(calls=(*self.state.calls, id), asked=(self.state.asked, (id, name, "")))
        start = b'{"type":"TOOL_CALL_START","toolCallId":%b,"toolCallName":%b,"parentMessageId":%b}'
        return (*before, start % (_call(id), quoted(name), self._id()))

    def _end_call(self, id: str) -> Sequence[bytes]:
        self.state = self.state._replace(calls=tuple(each for each in self.state.calls if each != id))
        return (b'{"type":"TOOL_CALL_END","toolCallId":%b}' % _call(id),)

    def _end_text(self) -> Sequence[bytes]:
        if not self.state.text:
            return ()
        self.state = self.state._replace(text=b"")
        return (b'{"type":"TEXT_MESSAGE_END","messageId":%b}' % self._id(),)

    def _end_reasoning(self) -> Sequence[bytes]:
        if not self.state.reasoning:
            return ()
        self.state = self.state._replace(reasoning=False)
        id = self._id()[:-1] + b'-r"'
        kinds = (b"REASONING_MESSAGE_END", b"REASONING_END")
        return [b'{"type":"%b","messageId":%b}' % (kind, id) for kind in kinds]

    def _results(self) -> Sequence[bytes]:
        """The results that are complete, since something else has come; the next text is a message of its own."""
        outputs: dict[str, list[str]] = {}
        for id, piece in listed(self.state.results):
            outputs.setdefault(id, []).append(piece)
        lines = [line for id in outputs if id in self.state.calls for line in self._end_call(id)]
        form = b'{"type":"TOOL_CALL_RESULT","messageId":%b,"toolCallId":%b,"content":%b,"role":"tool"}'
        for number, (id, output) in enumerate(outputs.items(), 1):
            result = self._id()[:-1] + b'-t%d"' % number
            lines.append(form % (result, _call(id), quoted("".join(output))))
        self.state = self.state._replace(results=None, step=self.state.step + 1)
        return lines

    def _own_calls(self) -> Sequence[bytes]:
        """The calls that nothing here has answered: on this word a page of TanStack AI runs its own tools."""
        calls: dict[str, tuple[str, list[str]]] = {}
        for id, name, piece in listed(self.state.asked):
            if name is not None:
                calls[id] = name, []
            elif piece is None:
                calls.pop(id, None)
            elif id in calls:
                calls[id][1].append(piece)
        form = b'{"type":"CUSTOM","name":"tool-input-available","value":{"toolCallId":%b,"toolName":%b,"input":%b}}'
        return [
            form % (_call(id), quoted(name), sse.encode(given))
            for id, (name, pieces) in calls.items()
            if (given := _parsed("".join(pieces))) is not None
        ]

    def _close(self) -> Sequence[bytes]:
        """What is open is closed first; the part is kept."""
        calls = [line for id in self.state.calls for line in self._end_call(id)]
        return (*self._end_reasoning(), *self._end_text(), *calls)

    def _finished(self, reason: str, usage: Usage | None) -> bytes:
        more: dict[str, Any] = {
            "metadata": {"headwater": {"finishReason": reason}, "tanstack": {"finishReason": reason}}
        }
        if usage is not None:
            more["usage"] = [counted(usage)]
        return b'{"type":"RUN_FINISHED",%b,%b' % (_RUN, sse.encode(more)[1:])


def _parsed(arguments: str) -> Any:
    try:
        return msgspec.json.decode(arguments or "{}")
    except msgspec.DecodeError:
        return None  # the model wrote no JSON: the page has the text of the call, and nothing to run


def _call(id: str) -> bytes:
    return quoted(id, AGAIN)


def _error(code: str, message: str) -> bytes:
    return b'{"type":"RUN_ERROR","message":%b,"code":%b}' % (quoted(message), quoted(code))
