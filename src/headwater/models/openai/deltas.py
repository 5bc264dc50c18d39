"""One choice of an OpenAI stream, read leniently: text, reasoning and tool calls wherever servers put them."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast

from headwater.events import Event
from headwater.models.characters import text_in
from headwater.models.content import Kind, parts
from headwater.models.telling import Telling

Fields = Mapping[str, Any]

_OWN = ("extra_content", "provider_specific_fields")
"""Fields in which providers put what they need back with the next request, such as Gemini's `thought_signature`."""
_MEDIA = ("images", "audio", "video")


class Deltas(Telling):
    """Turns the choices of one answer into events. Choices of another index than the first one's are ignored."""

    def __init__(self) -> None:
        super().__init__()
        self._index: object = None
        self._begun = False

    @property
    def ended(self) -> bool:
        """Whether the provider has given its reason to end, after which only token counts may follow."""
        return self._reason is not None

    def choice(self, chunk: Fields) -> Fields | None:
        """The choice of a chunk that belongs to this answer; None if there is none."""
        choices = chunk.get("choices")
        for choice in cast("list[Any]", choices) if isinstance(choices, list) else [choices]:
            if isinstance(choice, Mapping):
                fields = cast("Fields", choice)
                if not self._begun:
                    self._begun, self._index = True, fields.get("index")
                if fields.get("index") in (None, self._index) or self._index is None:
                    return fields
        return None

    def read(self, choice: Fields) -> Iterator[tuple[Kind | Literal["call"], Event]]:
        """The events of a choice, each with the kind of content that it is part of."""
        for kind, event in self._spoken(choice):
            self._reason = None  # a reason to end that something follows was none
            yield kind, event
        if reason := choice.get("finish_reason"):
            for kind, event in self._end_texts():
                yield kind, event
            self._reason = reason if isinstance(reason, str) else "other"

    def note(self, chunk: Fields) -> None:
        """Keep what a chunk says beside its choices."""
        for name in ("citations", "search_results"):  # Perplexity repeats the whole list in every chunk
            if found := chunk.get(name):
                self._fields[name] = found

    def _spoken(self, choice: Fields) -> Iterator[tuple[Kind | Literal["call"], Event]]:
        delta, message = choice.get("delta"), choice.get("message")
        if isinstance(delta, Mapping):
            yield from self._delta(cast("Fields", delta))
        else:
            yield from self._content([("text", text_in(delta) or text_in(choice.get("text")))])
        if isinstance(message, Mapping):  # a whole answer, of a server that does not stream or that sends all again
            fields = cast("Fields", message)
            yield from self._content(self._untold(list(_parts(fields))))
            self._beside(fields)
            for event in self._calls.message([_piece(call) for call in _calls(fields)]):
                yield "call", event

    def _content(self, content: list[tuple[Kind, Any]]) -> Iterator[tuple[Kind, Event]]:
        for kind, value in content:
            for event in self._part(kind, value):
                yield kind, event

    def _delta(self, delta: Fields) -> Iterator[tuple[Kind | Literal["call"], Event]]:
        yield from self._content(list(_parts(delta)))
        self._beside(delta)
        for call in _calls(delta):
            for event in self._calls.piece(_piece(call)):
                yield "call", event
            if own := _own(call):
                self.keep({"tool_calls": {self._calls.last: own}})

    def _beside(self, message: Fields) -> None:
        """Keep what a message holds beside its content."""
        for name in _MEDIA:
            if message.get(name):
                self.leave_out(name)
        for name in ("annotations", "citations"):
            if isinstance(noted := message.get(name), list) and noted:
                self.keep({name: noted})
        if own := _own(message):
            self.keep(own)
        if isinstance(details := message.get("reasoning_details"), list):
            kept: list[Any] = self._fields.setdefault("reasoning_details", [])
            for detail in cast("list[Any]", details):
                _grow(kept, detail)
            if not kept:
                del self._fields["reasoning_details"]


def _parts(message: Fields) -> Iterator[tuple[Kind, Any]]:
    names = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
    if reasoning := next((text for name in names if (text := text_in(message.get(name)))), ""):
        yield "reasoning", reasoning
    yield from parts(message.get("content"))
    if isinstance(audio := message.get("audio"), Mapping) and (
        transcript := text_in(cast("Fields", audio).get("transcript"))
    ):
        yield "text", transcript  # the words of a spoken answer
    if refusal := text_in(message.get("refusal")):
        yield "refusal", refusal


def _calls(message: Fields) -> list[Fields]:
    calls = message.get("tool_calls")
    found = (
        [cast("Fields", call) for call in cast("list[Any]", calls) if isinstance(call, Mapping)]
        if isinstance(calls, list)
        else []
    )
    if isinstance(older := message.get("function_call"), Mapping):
        found.append({"function": older})
    return found


def _piece(call: Fields) -> Fields:
    function: Any = call.get("function")
    fields = cast("Fields", function) if isinstance(function, Mapping) else call
    return {
        "id": call.get("id"),
        "index": call.get("index"),
        "name": fields.get("name"),
        "args": fields.get("arguments"),
    }


def _own(fields: Fields) -> dict[str, Any]:
    return {name: fields[name] for name in _OWN if fields.get(name)}


def _grow(kept: list[Any], detail: Any) -> None:
    """Add a piece of `reasoning_details`: pieces of one detail, which have its index and type, become one again."""
    last: Any = kept[-1] if kept else None
    if not (isinstance(last, dict) and isinstance(detail, Mapping)):
        kept.append(detail)
        return
    before, new = cast("dict[str, Any]", last), cast("Fields", detail)
    if any(before.get(name) != new.get(name) for name in ("type", "index")) or new.get("index") is None:
        kept.append(dict(new))
        return
    for name, value in new.items():
        joins = name in ("text", "summary", "data") and isinstance(value, str) and isinstance(before.get(name), str)
        if joins:
            before[name] += value
        elif value is not None:
            before[name] = value
