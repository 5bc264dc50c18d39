"""Entries as the events of OpenAI's Responses API, and as its response object.

Events are numbered from 0 without a gap, and the numbers are a pure function of the log: `starting_after` means the
same on every server. One item is open at a time, since clients build them in order; what comes while a tool call is
open waits for its end. The object is a view of the same state, so its items are those of the stream.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from headwater.dialects import sse
from headwater.dialects.fold import AGAIN, AHEAD, ID, Chain, listed, quoted
from headwater.dialects.responses import response
from headwater.entries import Entry
from headwater.events import (
    Continued,
    Ending,
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


class _Output(NamedTuple):
    """What changes only where an item begins or ends."""

    item: int = 0
    """Of the open item, or the next one."""
    open: str = ""
    """The kind of the open item, by the prefix of its id."""
    delta: bytes = b""
    """The form of the open item's deltas, for a number and a text."""
    call: tuple[str, str] | None = None
    """The id and the name of the open tool call."""
    items: Chain = None
    """The items that are complete, as JSON."""
    waiting: Chain = None
    """Events that wait for the end of the open tool call."""
    created: int = 0
    model: str = ""
    ending: Ending | None = None


class ResponsesEncoder:
    """The frames of a log for clients of the Responses API."""

    name = "responses"

    def __init__(self) -> None:
        self.state: tuple[int, Chain, _Output] = (0, None, _Output())
        """The number of the next event and the open item's text, which change with each token; and the rest."""

    def encode(self, entry: Entry) -> Sequence[bytes]:
        event = entry.event
        if isinstance(event, TextDelta) and self.state[2].open == "msg" and event.text:
            return (self._delta(event.text),)
        return [*self._said(event)]

    def broken(self, error: Error) -> Sequence[bytes]:
        told = b'{"type":"error","sequence_number":%d,"code":%b,"message":%b,"param":null}'
        return (told % (max(self.state[0] - 1, 0), quoted(error.code), quoted(error.message)),)

    def response(self, status: str | None = None) -> bytes:
        """The response object as far as it has come, with gaps; `status` where it does not follow from the log."""
        _, pieces, output = self.state
        told = response.ended(output.ending)
        fields = {"object": "response", "created_at": output.created, **told, "model": output.model}
        if status is not None:
            fields["status"] = status
        items = listed(output.items)
        if output.open:
            items.append(self._item("".join(listed(pieces)), "in_progress"))
        form = b'{"id":"resp_%b",%b,"output":[%b]%b}'
        return form % (ID, sse.encode(fields)[1:-1], b",".join(items), ECHO)

    def _said(self, event: Event) -> Iterator[bytes]:
        output = self.state[2]
        match event:
            case Start(_, model, created):
                self._change(model=model, created=created)
                for kind in (b"created", b"in_progress"):
                    yield self._event(kind, b'"response":' + self.response())
            case Finish() | Stop() | Error():
                yield from self._ended(event)
            case Continued(rewind=rewind) if rewind:
                number, pieces, _ = self.state
                self.state = (number + AHEAD, pieces, output)
            case Metadata() | Continued() | ToolResult() | Unknown():
                pass  # no word for it here
            case ToolCallDelta(id, arguments) if output.call and id == output.call[0]:
                if arguments:
                    yield self._delta(arguments)
            case ToolCallEnd(id) if output.call and id == output.call[0]:
                yield from self._closed()
            case _ if output.call:
                self._change(waiting=(output.waiting, event))
            case TextDelta(text) if text:
                yield from self._opened("msg")
                yield self._delta(text)
            case ReasoningDelta(text) if text:
                yield from self._opened("rs")
                yield self._delta(text)
            case ToolCallStart(id, name):
                yield from self._opened("fc", (id, name))
            case _:
                pass  # empty, or of a call that never began

    def _ended(self, ending: Ending) -> Iterator[bytes]:
        told: str = response.ended(ending)["status"]
        while self.state[2].open:
            yield from self._closed("completed" if told == "completed" else "incomplete")
        if self.state[2].items is None and isinstance(ending, Finish):
            yield from self._opened("msg")  # an answer of no words is a message without any
            yield from self._closed()
        self._change(ending=ending)
        kind = told if told in ("completed", "failed") else "incomplete"
        yield self._event(kind.encode(), b'"response":' + self.response())

    def _opened(self, kind: str, call: tuple[str, str] | None = None) -> Iterator[bytes]:
        """The events that open an item of this kind, unless one that can grow is open."""
        if self.state[2].open == kind:
            return
        yield from self._closed()
        name, place, _ = _WORDS[kind]
        number = self.state[2].item
        form = (
            b'{"type":"response.%b.delta","sequence_number":%%d,"item_id":"%b_%b_%d","output_index":%d%b,"delta":%%b}'
        )
        self._change(open=kind, call=call, delta=form % (name, kind.encode(), ID, number, number, place))
        yield self._event(b"output_item.added", b'%b,"item":%b' % (self._at(), self._item("", "in_progress")))
        yield from self._part(b"added", "")

    def _closed(self, status: str = "completed") -> Iterator[bytes]:
        """The events that close the open item, if there is one, and what has waited for that."""
        _, pieces, output = self.state
        if not output.open:
            return
        text = "".join(listed(pieces))
        name, place, field = _WORDS[output.open]
        done = b'%b,"item_id":%b%b,"%b":%b' % (self._at(), self._id(), place, field, quoted(text))
        yield self._event(name + b".done", done)
        yield from self._part(b"done", text)
        item = self._item(text, status)
        yield self._event(b"output_item.done", b'%b,"item":%b' % (self._at(), item))
        self.state = (self.state[0], None, self.state[2])
        items = (output.items, item)
        self._change(item=output.item + 1, open="", delta=b"", call=None, items=items, waiting=None)
        for event in listed(output.waiting):
            yield from self._said(event)

    def _part(self, what: bytes, text: str) -> Iterator[bytes]:
        """The event that opens or closes the open item's only part; a tool call has none."""
        kind = self.state[2].open
        if kind == "fc":
            return
        name, index = (b"content", b"content") if kind == "msg" else (b"reasoning_summary", b"summary")
        part = sse.encode(response.part(kind, text))
        form = b'%b,"item_id":%b,"%b_index":0,"part":%b'
        yield self._event(name + b"_part." + what, form % (self._at(), self._id(), index, part))

    def _delta(self, text: str) -> bytes:
        number, pieces, output = self.state
        self.state = (number + 1, (pieces, text), output)
        return output.delta % (number, sse.encode(text))

    def _event(self, kind: bytes, fields: bytes) -> bytes:
        number, pieces, output = self.state
        self.state = (number + 1, pieces, output)
        return b'{"type":"response.%b","sequence_number":%d,%b}' % (kind, number, fields)

    def _change(self, **fields: Any) -> None:
        number, pieces, output = self.state
        self.state = (number, pieces, output._replace(**fields))

    def _item(self, text: str, status: str) -> bytes:
        """The open item as JSON."""
        output = self.state[2]
        if output.call:
            id, name = output.call
            form = b'{"id":%b,"type":"function_call","status":"%b","call_id":%b,"name":%b,"arguments":%b}'
            return form % (self._id(), status.encode(), quoted(id, AGAIN), quoted(name), quoted(text))
        return b'{"id":%b,%b' % (self._id(), sse.encode(response.item(output.open, text, status))[1:])

    def _id(self) -> bytes:
        return b'"%b_%b_%d"' % (self.state[2].open.encode(), ID, self.state[2].item)

    def _at(self) -> bytes:
        return b'"output_index":%d' % self.state[2].item


_WORDS = {
    "msg": (b"output_text", b',"content_index":0,"logprobs":[]', b"text"),
    "rs": (b"reasoning_summary_text", b',"summary_index":0', b"text"),
    "fc": (b"function_call_arguments", b"", b"arguments"),
}
"""Of each kind of item: what its events are called, where in it their text belongs, and the text's name at its end."""
