"""A log as the parts of the AI SDK's UI message stream.

Only parts and fields that ai 5.0.100, the strictest client, takes. A part is closed before anything else begins and
before every ending. After the results of tools a new step begins: pages that send by themselves when all tools of the
last step are complete would otherwise ask again for ever.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, assert_never

import msgspec

from headwater.dialects import sse
from headwater.dialects.fold import AGAIN, Chain, counted, listed, quoted
from headwater.dialects.vercel.told import Told, checksum
from headwater.entries import Entry, json_of
from headwater.events import (
    PIECE,
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

Lines = list[bytes]

DONE = b"[DONE]"
_STEP, _STEP_ENDS = b'{"type":"start-step"}', b'{"type":"finish-step"}'
_TEXT = len('{"type":"text-delta","text":')
_REASONS = {"stop": "stop", "length": "length", "tool_calls": "tool-calls", "content_filter": "content-filter"}
_CUT = b',"errorText":"The answer broke off before this call had a result."'


class _Call(NamedTuple):
    """A tool call as far as it has come."""

    name: str
    arguments: Chain = None
    given: bool = False
    """Whether the arguments are complete."""
    output: Chain = None


class _State(NamedTuple):
    delta: bytes = b""
    """How a delta of the open part begins; empty while none is open."""
    kind: str = ""
    """`text` or `reasoning`, whichever is open."""
    parts: int = 0
    calls: Mapping[str, _Call] = {}
    step: str = ""
    """`calls` when the step has some, `results` when the server has answered one."""
    held: str = ""
    """The call whose result goes on in the next entry."""
    headwater: Mapping[str, Any] = {}
    """What the part `data-headwater` says."""


class VercelEncoder:
    """Folds a log into UI message stream parts; `told` decides which tools are the page's own."""

    def __init__(self, told: Told = Told()) -> None:  # noqa: B008 - immutable
        self.name = f"vercel+{sorted(told.tools)}" if told.tools else "vercel"
        self.state = _State()
        self._told = told

    def encode(self, entry: Entry) -> Sequence[bytes]:
        event, state = entry.event, self.state
        if state.kind == "text" and isinstance(event, TextDelta):  # nearly every entry
            return (state.delta + json_of(entry)[_TEXT:],)
        goes_on = isinstance(event, ToolResult) and event.id == state.held
        lines = self._released(state.held) if state.held and not goes_on else []
        match event:
            case TextDelta(text):
                self._say("text", text, lines)
            case ReasoningDelta(text):
                self._say("reasoning", text, lines)
            case ToolCallStart() | ToolCallDelta() | ToolCallEnd() | ToolResult():
                self._call(event, lines)
            case Start(_, model):
                self.state = _State(headwater={"model": model})
                lines += [b'{"type":"start","messageId":"\0"}', _STEP]
            case Metadata(data):
                self._tell(lines, metadata={**self.state.headwater.get("metadata", {}), **data})
            case Finish() | Stop() | Error():
                self._end(event, lines)
            case Continued():
                lines.append(b'{"type":"data-continued","data":%b,"transient":true}' % sse.encode(event))
            case Unknown():
                pass
            case _:
                assert_never(event)
        return lines

    def broken(self, error: Error) -> Sequence[bytes]:
        return [*self._closed(), b'{"type":"error","errorText":%b}' % sse.encode(error.message)]

    def _say(self, kind: str, text: str, lines: Lines) -> None:
        if not text:
            return
        if self.state.kind != kind:
            self._step_on(lines)
            self._close(lines)
            number = self.state.parts + 1
            delta = b'{"type":"%b-delta","id":"%d","delta":' % (kind.encode(), number)
            self.state = self.state._replace(delta=delta, kind=kind, parts=number)
            lines.append(b'{"type":"%b-start","id":"%d"}' % (kind.encode(), number))
        lines.append(self.state.delta + sse.encode(text) + b"}")

    def _call(self, event: ToolCallStart | ToolCallDelta | ToolCallEnd | ToolResult, lines: Lines) -> None:
        id = event.id
        if isinstance(event, ToolCallStart):
            self._step_on(lines)
            self._close(lines)
            self._keep(id, _Call(event.name), step="calls")
            lines.append(self._part("tool-input-start", id, b',"toolName":' + sse.encode(event.name)))
            return
        call = self.state.calls.get(id)
        if call is None:  # clients fail at a call that never began
            return
        match event:
            case ToolCallDelta(_, arguments):
                if arguments and not call.given:
                    self._keep(id, call._replace(arguments=(call.arguments, arguments)))
                    more = b'{"type":"tool-input-delta","toolCallId":%b,"inputTextDelta":%b}'
                    lines.append(more % (quoted(id, AGAIN), sse.encode(arguments)))
            case ToolCallEnd():
                self._give(id, lines)
            case ToolResult(_, output):
                self._close(lines)
                self._give(id, lines)
                call = self.state.calls[id]
                self._keep(id, call._replace(output=(call.output, output)), step="results")
                if len(output) >= PIECE:  # more of it may follow, and a part replaces the one before
                    self.state = self.state._replace(held=id)
                else:
                    lines += self._released(id)

    def _give(self, id: str, lines: Lines) -> None:
        """Say the whole arguments of a call, once; arguments that are no JSON are an error of the tool."""
        call = self.state.calls[id]
        if call.given:
            return
        self._keep(id, call._replace(given=True, arguments=None))
        try:
            input = msgspec.json.format(("".join(listed(call.arguments)) or "{}").encode(), indent=-1)
        except msgspec.DecodeError:
            why = b',"errorText":"The model wrote arguments that are not JSON."'
            lines.append(self._part("tool-output-error", id, why))
            return
        rest = b',"toolName":%b,"input":%b' % (sse.encode(call.name), input)
        lines.append(self._part("tool-input-available", id, rest))

    def _released(self, id: str) -> Lines:
        """The result of a call so far, which is held back no longer."""
        self.state = self.state._replace(held="")
        output = sse.encode("".join(listed(self.state.calls[id].output)))
        return [self._part("tool-output-available", id, b',"output":' + output)]

    def _end(self, event: Finish | Stop | Error, lines: Lines) -> None:
        if isinstance(event, Finish):
            for id in self.state.calls:
                self._give(id, lines)
            self._close(lines)
            self._step_on(lines)
            usage = {} if event.usage is None else {"usage": event.usage, "totalUsage": counted(event.usage)}
            self._tell(lines, state="finished", **usage)
            reason = _REASONS.get(event.reason, "other").encode()
            lines += [_STEP_ENDS, b'{"type":"finish","finishReason":"%b"}' % reason, DONE]
            return
        lines += self._closed()
        if isinstance(event, Stop):
            self._step_on(lines, after="calls")
            self._tell(lines, state="stopped")
            lines += [_STEP_ENDS, b'{"type":"abort"}', DONE]
            return
        state = "lost" if event.code == "lost" else "failed"
        self._tell(lines, state=state, code=event.code, retryable=event.retryable)
        lines += [b'{"type":"error","errorText":%b}' % sse.encode(event.message), DONE]

    def _closed(self) -> Lines:
        """The ends of all parts that are open, where the answer breaks off."""
        lines: Lines = []
        self._close(lines)
        lines += [
            self._part("tool-output-error", id, _CUT) for id, call in self.state.calls.items() if call.output is None
        ]
        return lines

    def _close(self, lines: Lines) -> None:
        if self.state.kind:
            lines.append(b'{"type":"%b-end","id":"%d"}' % (self.state.kind.encode(), self.state.parts))
            self.state = self.state._replace(delta=b"", kind="")

    def _step_on(self, lines: Lines, after: str = "results") -> None:
        """Begin a new step if there are results in this one, or even calls."""
        if self.state.step in ("results", after):
            self.state = self.state._replace(step="")
            lines += [_STEP_ENDS, _STEP]

    def _tell(self, lines: Lines, **fields: Any) -> None:
        """The part for what the AI SDK has no word for; a later one replaces it, since all have one id."""
        told = {**self.state.headwater, **fields}
        self.state = self.state._replace(headwater=told)
        lines.append(b'{"type":"data-headwater","id":"headwater","data":%b}' % sse.encode(told))

    def _keep(self, id: str, call: _Call, step: str = "") -> None:
        calls = {**self.state.calls, id: call}
        self.state = self.state._replace(calls=calls, step=step or self.state.step)

    def _part(self, kind: str, id: str, rest: bytes) -> bytes:
        """A part of a tool call: `dynamic` where the server runs the tool, since the page then has no type for it."""
        dynamic = b"" if checksum(self.state.calls[id].name) in self._told.tools else b',"dynamic":true'
        return b'{"type":"%b","toolCallId":%b%b%b}' % (kind.encode(), quoted(id, AGAIN), rest, dynamic)
