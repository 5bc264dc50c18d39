"""Entries as the events of OpenAI's Responses API.

Events are numbered from 0 without a gap, and the numbers are a pure function of the log: `starting_after` means the
same on every server. One item is open at a time, since clients build them in order; what comes while a tool call is
open waits for its end.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from headwater.dialects import sse
from headwater.dialects.fold import AGAIN, AHEAD, ID, Chain, listed, quoted
from headwater.dialects.responses import response
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

ECHO = b"\2"
"""The gap for what a response repeats of its request: fields after a comma."""


class _State(NamedTuple):
    number: int = 0
    """Of the next event."""
    item: int = 0
    """Of the open item, or the next one."""
    open: str = ""
    """The kind of the open item, by the prefix of its id."""
    call: tuple[str, str] = ("", "")
    """The id and the name of the open tool call."""
    pieces: Chain = None
    """The open item's text."""
    items: Chain = None
    """The items that are complete, as JSON."""
    waiting: Chain = None
    """Events that wait for the end of the open tool call."""
    created: int = 0
    model: str = ""


class ResponsesEncoder:
    """The frames of a log for clients of the Responses API."""

    name = "responses"

    def __init__(self) -> None:
        self.state = _State()

    def encode(self, entry: Entry) -> Sequence[bytes]:
        event, state = entry.event, self.state
        if isinstance(event, TextDelta) and state.open == "msg" and event.text:
            self.state = state._replace(number=state.number + 1, pieces=(state.pieces, event.text))
            return (_DELTA % (state.number, ID, state.item, state.item, quoted(event.text)),)
        return [self._numbered(line) for line in self._said(event)]

    def broken(self, error: Error) -> Sequence[bytes]:
        told = b'{"type":"error","sequence_number":%d,"code":%b,"message":%b,"param":null}'
        return (told % (max(self.state.number - 1, 0), quoted(error.code), quoted(error.message)),)

    def _numbered(self, line: bytes) -> bytes:
        """The line with the number of its event, behind its type."""
        number, self.state = self.state.number, self.state._replace(number=self.state.number + 1)
        kind, rest = line.split(b",", 1)
        return b'%b,"sequence_number":%d,%b' % (kind, number, rest)

    def _said(self, event: Event) -> Iterator[bytes]:
        if self.state.open == "fc" and not isinstance(event, ToolCallDelta | ToolCallEnd | Finish | Stop | Error):
            if not isinstance(event, Metadata | Continued | ToolResult | Unknown):
                self.state = self.state._replace(waiting=(self.state.waiting, event))
            return
        match event:
            case Start(_, model, created):
                self.state = self.state._replace(model=model, created=created)
                for kind in ("created", "in_progress"):
                    yield self._response(kind, response.ended(None), None)
            case TextDelta(text) if text:
                yield from self._opened("msg")
                yield self._delta("output_text", b'"content_index":0,"logprobs":[]', text)
            case ReasoningDelta(text) if text:
                yield from self._opened("rs")
                yield self._delta("reasoning_summary_text", b'"summary_index":0', text)
            case ToolCallStart(id, name):
                yield from self._closed()
                self.state = self.state._replace(open="fc", call=(id, name))
                yield b'{"type":"response.output_item.added",%b,"item":%b}' % (self._at(), self._item("in_progress"))
            case ToolCallDelta(id, arguments) if arguments:
                if self.state.open == "fc" and id == self.state.call[0]:
                    yield self._delta("function_call_arguments", b"", arguments)
                elif self.state.open == "fc":
                    self.state = self.state._replace(waiting=(self.state.waiting, event))
            case ToolCallEnd(id):
                if self.state.open == "fc" and id == self.state.call[0]:
                    yield from self._closed()
                    yield from self._resumed()
                elif self.state.open == "fc":
                    self.state = self.state._replace(waiting=(self.state.waiting, event))
            case Finish() | Stop() | Error():
                yield from self._ended(event)
            case Continued(rewind=rewind) if rewind:
                self.state = self.state._replace(number=self.state.number + AHEAD)
            case _:
                pass  # no word for it here

    def _resumed(self) -> Iterator[bytes]:
        """What has waited for the end of a tool call."""
        waiting, self.state = listed(self.state.waiting), self.state._replace(waiting=None)
        for event in waiting:
            yield from self._said(event)

    def _ended(self, ending: Finish | Stop | Error) -> Iterator[bytes]:
        status = "completed" if isinstance(ending, Finish) else "incomplete"
        while self.state.open:
            yield from self._closed(status)
            yield from self._resumed()
        if self.state.items is None and isinstance(ending, Finish):
            yield from self._opened("msg")  # an answer of no words is a message without any
            yield from self._closed()
        told = response.ended(ending)
        kinds = {"completed": "completed", "failed": "failed"}
        usage = response.usage(ending.usage) if isinstance(ending, Finish) else None
        yield self._response(kinds.get(told["status"], "incomplete"), told, usage)

    def _response(self, kind: str, told: dict[str, Any], usage: dict[str, Any] | None) -> bytes:
        state = self.state
        fields = {"object": "response", "created_at": state.created, **told, "model": state.model, "usage": usage}
        items = b",".join(listed(state.items))
        form = b'{"type":"response.%b","response":{"id":"resp_%b",%b,"output":[%b]%b}}'
        return form % (kind.encode(), ID, sse.encode(fields)[1:-1], items, ECHO)

    def _opened(self, kind: str) -> Iterator[bytes]:
        """The events that open an item of this kind, unless one is open."""
        if self.state.open == kind:
            return
        yield from self._closed()
        self.state = self.state._replace(open=kind)
        yield b'{"type":"response.output_item.added",%b,"item":%b}' % (self._at(), self._item("in_progress"))
        yield self._part("added", "")

    def _closed(self, status: str = "completed") -> Iterator[bytes]:
        """The events that close the open item, if there is one."""
        state = self.state
        if not state.open:
            return
        text = "".join(listed(state.pieces))
        kind, place = _DONE[state.open]
        told = b'{"type":"response.%b.done",%b,"item_id":%b%b,"%b":%b}'
        name = b"arguments" if state.open == "fc" else b"text"
        yield told % (kind, self._at(), self._id(), place, name, quoted(text))
        if state.open != "fc":
            yield self._part("done", text)
        item = self._item(status)
        yield b'{"type":"response.output_item.done",%b,"item":%b}' % (self._at(), item)
        self.state = self.state._replace(
            open="", call=("", ""), pieces=None, item=state.item + 1, items=(state.items, item)
        )

    def _part(self, what: str, text: str) -> bytes:
        if self.state.open == "msg":
            form = b'{"type":"response.content_part.%b",%b,"item_id":%b,"content_index":0,"part":%b}'
            part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        else:
            form = b'{"type":"response.reasoning_summary_part.%b",%b,"item_id":%b,"summary_index":0,"part":%b}'
            part = {"type": "summary_text", "text": text}
        return form % (what.encode(), self._at(), self._id(), sse.encode(part))

    def _delta(self, kind: str, place: bytes, text: str) -> bytes:
        self.state = self.state._replace(pieces=(self.state.pieces, text))
        where = b"," + place if place else b""
        form = b'{"type":"response.%b.delta",%b,"item_id":%b%b,"delta":%b}'
        return form % (kind.encode(), self._at(), self._id(), where, quoted(text))

    def _item(self, status: str) -> bytes:
        """The open item as JSON."""
        state, text = self.state, "".join(listed(self.state.pieces))
        if state.open == "fc":
            id, name = state.call
            form = b'{"id":%b,"type":"function_call","status":"%b","call_id":%b,"name":%b,"arguments":%b}'
            return form % (self._id(), status.encode(), quoted(id, AGAIN), quoted(name), quoted(text))
        made = response.message("", text, status) if state.open == "msg" else response.reasoning("", text)
        return b'{"id":%b,%b' % (self._id(), sse.encode(made)[len('{"id":"",') :])

    def _id(self) -> bytes:
        return b'"%b_%b_%d"' % (self.state.open.encode(), ID, self.state.item)

    def _at(self) -> bytes:
        return b'"output_index":%d' % self.state.item


_DELTA = (
    b'{"type":"response.output_text.delta","sequence_number":%d,"item_id":"msg_%b_%d","output_index":%d,'
    b'"content_index":0,"logprobs":[],"delta":%b}'
)
_DONE = {
    "msg": (b"output_text", b',"content_index":0,"logprobs":[]'),
    "rs": (b"reasoning_summary_text", b',"summary_index":0'),
    "fc": (b"function_call_arguments", b""),
}
