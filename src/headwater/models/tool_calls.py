"""The tool calls of one answer, put together from pieces that name their call in every way that providers know. Pure.

The rules, in this order:

1. A *name* begins a call. Two exceptions: a call that waits for its name takes it, and a server that repeats the name
   in every piece goes on with its call as long as the arguments are no whole JSON value.
2. A piece without a name belongs to the call of its id or its index, and to the open call if neither is known.
3. Arguments that come before any name wait for it.

A call ends when the next one begins, provided its arguments are a whole JSON value; else at the end of the answer,
since some servers send several calls by turns. No call ends without a name, or with two JSON values as its arguments.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from headwater.errors import ModelError
from headwater.events import Event, ToolCallDelta, ToolCallEnd, ToolCallStart
from headwater.models.characters import Characters

Arguments = Literal["none", "one", "part", "several"]


class _Call:
    """A call that still grows."""

    def __init__(self, id: str, given: str | None, index: object) -> None:
        self.id = id
        self.given = given
        self.index = index
        self.name = ""
        self.ended = False
        self.waiting = ""
        self._characters = Characters()
        self._pieces: list[str] = []
        self._known: tuple[int, Arguments] = (0, "none")

    @property
    def arguments(self) -> str:
        self._pieces[:] = ["".join(self._pieces)]
        return self._pieces[0]

    @property
    def state(self) -> Arguments:
        """What the arguments are so far: no text, one JSON value, a part of one (or no JSON), or several."""
        text = self.arguments
        if self._known[0] != len(text):
            # Nearly always a part, which its last character shows.
            short = text.lstrip()[:1] in ("{", "[") and text.rstrip()[-1:] not in ("}", "]")
            self._known = (len(text), "part" if short else _state(text))
        return self._known[1]

    def grow(self, name: str, arguments: str) -> Iterator[Event]:
        if name and not self.name:
            self.name = name
            yield ToolCallStart(self.id, name)
            arguments, self.waiting = self.waiting + arguments, ""
        elif not self.name:
            self.waiting += arguments
            return
        if arguments := self._characters.join(arguments):
            self._pieces.append(arguments)
            yield ToolCallDelta(self.id, arguments)

    def finish(self) -> Iterator[Event]:
        if rest := self._characters.end():
            self._pieces.append(rest)
            yield ToolCallDelta(self.id, rest)


class ToolCalls:
    """Turns pieces of tool calls into events."""

    def __init__(self) -> None:
        self.count = 0
        """The number of calls so far."""
        self.whole = True
        """Whether all calls that have ended have one JSON value as arguments, or none."""
        self._ids: dict[str, str] = {}  # the provider's id of a call, and the id in the events
        self._used: set[str] = set()
        self.reset()

    def reset(self) -> None:
        """Forget which call is which: what follows is another model's."""
        self._calls: list[_Call] = []
        self._open: _Call | None = None
        self._by_id: dict[str, _Call] = {}
        self._by_index: dict[object, _Call] = {}

    @property
    def pending(self) -> bool:
        """Whether the last model called tools: an answer whose tools the server runs goes on after its calls."""
        return bool(self._calls)

    @property
    def last(self) -> str:
        """The id of the call that the last piece belonged to."""
        return self._open.id if self._open is not None else ""

    def id_of(self, given: str) -> str:
        """The id in the events of the last call that has this id at the provider."""
        return self._ids.get(given, given)

    def piece(self, piece: Mapping[str, Any]) -> Iterator[Event]:
        """The events of a piece: `id`, `index`, `name` and `args`, any of which may be missing.

        Raises `ModelError` if the piece would add a second JSON value to a call.
        """
        id, index, name, arguments = _fields(piece)
        if not (id or name or arguments):
            return
        call = self._find(id, index, name, arguments)
        if call is None:
            yield from self._end_whole_ones()
            call = self._begin(id, index)
        elif call.ended:
            if arguments.strip():
                raise _garbled("a tool call has more arguments than one JSON value")
            return
        self._open = call
        yield from call.grow(name, arguments)

    def message(self, pieces: Sequence[Mapping[str, Any]]) -> Iterator[Event]:
        """The events of all calls of a message that came whole, without what pieces have told already."""
        known = list(self._calls)
        for place, piece in enumerate(pieces):
            id, index, name, arguments = _fields(piece)
            call = known[place] if place < len(known) else None
            if call is None or (call.name and call.name != name):
                yield from self._end_whole_ones()
                call = self._open = self._begin(id, index)
                yield from call.grow(name, arguments)
                continue
            told = call.arguments + call.waiting
            if not call.ended and arguments.startswith(told) and call.state != "one":
                yield from call.grow(name, arguments[len(told) :])

    def close(self) -> Iterator[Event]:
        """End all calls. Raises `ModelError` before that if one is nameless or has several JSON values."""
        for call in self._calls:
            self._check(call)
        for call in self._calls:
            yield from self._end(call)
        self._open = None

    def _find(self, id: str, index: object, name: str, arguments: str) -> _Call | None:
        by_id, by_index = self._by_id.get(id), self._by_index.get(index)
        if not name:
            if by_id is not None and (by_index is None or by_id.index == index):
                return by_id
            if by_index is not None or self._open is None:
                return by_index
            # Arguments for a call that is whole, from a call that is not known: its name is still to come.
            other = (id or index is not None) and arguments.strip() and self._open.state == "one"
            return None if other else self._open
        call = by_index if index is not None else by_id if id else self._open
        waiting = self._open
        if call is None and waiting is not None and not waiting.name and _may_be(waiting, id, index):
            return waiting
        if call is None or not call.name or call.name != name or call.ended:
            return call if call is not None and not call.name else None
        if call.state in ("one", "several") or (not id and index is None and call.state == "none"):
            return None
        anew = index is None and not id and arguments.lstrip().startswith("{")
        return None if anew else call

    def _begin(self, id: str, index: object) -> _Call:
        self.count += 1
        ours = id or f"call_{self.count}"
        while ours in self._used:  # some servers use the tool's name as the id
            ours = f"{ours}_{self.count}"
        call = _Call(ours, id or None, index)
        self._used.add(ours)
        self._calls.append(call)
        if id:
            self._by_id[id], self._ids[id] = call, ours
        if index is not None:
            self._by_index[index] = call
        return call

    def _end_whole_ones(self) -> Iterator[Event]:
        for call in self._calls:
            if not call.ended and call.name and call.state in ("one", "several"):
                self._check(call)
                yield from self._end(call)

    def _check(self, call: _Call) -> None:
        if not call.name:
            raise _garbled("a tool call has no name")
        if _state(call.arguments) == "several":
            raise _garbled("a tool call has more arguments than one JSON value")

    def _end(self, call: _Call) -> Iterator[Event]:
        if not call.ended:
            call.ended = True
            yield from call.finish()
            self.whole = self.whole and call.state in ("none", "one")
            yield ToolCallEnd(call.id)


def arguments_text(value: object) -> str:
    """Arguments as JSON text, also where the provider sends them as a JSON object."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _fields(piece: Mapping[str, Any]) -> tuple[str, object, str, str]:
    id, index, name = piece.get("id"), piece.get("index"), piece.get("name")
    known = index if isinstance(index, int | str) else None
    named = name if isinstance(name, str) else ""
    return str(id) if isinstance(id, int | str) and id != "" else "", known, named, arguments_text(piece.get("args"))


def _may_be(waiting: _Call, id: str, index: object) -> bool:
    """Whether a call that waits for its name is the one with this id and index."""
    same_index = waiting.index is None or index is None or waiting.index == index
    return same_index and (waiting.given is None or not id or waiting.given == id)


def _state(text: str) -> Arguments:
    rest = text.strip()
    if not rest:
        return "none"
    try:
        end = json.JSONDecoder(strict=False).raw_decode(rest)[1]
    except (ValueError, RecursionError):
        return "part"
    rest = rest[end:].strip()
    return "one" if not rest else "several" if rest[0] in '{["' else "part"


def _garbled(what: str) -> ModelError:
    return ModelError(f"the provider's answer cannot be read: {what}", code="provider_garbled")
