"""An answer as one value: a log's events folded into text, reasoning, tool calls, metadata and an ending.

Everything that needs the whole answer uses this fold: the state JSON, the Python client, `headwater ask`, `on_finish`.
The browser's client folds the same events in `ui/packages/client/src/fold-message.ts`. Both folds are tested against
the transcripts in `tests/transcripts`, field by field.
"""

from collections.abc import Iterable
from typing import Any, assert_never

import msgspec

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
    State,
    Stop,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolResult,
    Unknown,
    Usage,
    state_after,
)
from headwater.offsets import ORIGIN, Offset


class ToolCall(msgspec.Struct, frozen=True):
    """A tool that the model called, as far as the call has arrived."""

    id: str
    name: str
    arguments: str = ""
    """JSON text; a prefix of it until the call is complete."""
    complete: bool = False
    """Whether all arguments have arrived."""
    output: str | None = None
    """What the tool returned; None until a result arrives."""


class Timing(msgspec.Struct, frozen=True):
    """When the log was written: seconds since it was opened, by the clock of the server that wrote it.

    A replay therefore has the timing of the original run.
    """

    first_token: float | None = None
    """When the first text, reasoning or tool call came; None if none has."""
    duration: float | None = None
    """When the last entry was written; None for a log without entries."""
    first_text: float | None = None
    """When the first text or tool call came, after all reasoning; None if none has."""


class Answer(msgspec.Struct, frozen=True):
    """What the events of a log add up to so far. `Answer()` is the answer before the first event."""

    id: str | None = None
    """The `message_id` of the log's `start` event."""
    model: str | None = None
    state: State = "open"
    text: str = ""
    reasoning: str = ""
    tools: tuple[ToolCall, ...] = ()
    """Tool calls in the order in which they began."""
    metadata: dict[str, Any] = {}
    """The fields of all `metadata` events; the last value of a field counts."""
    ending: Ending | None = None
    usage: Usage | None = None
    """The usage that `finish` reports, if it reports any."""
    offset: Offset = ORIGIN
    """The offset of the last entry, from which a reader can go on."""
    timing: Timing = Timing()
    created: int = 0
    """When the log was opened, in seconds since 1970; 0 if the log does not say."""
    continued: tuple[Continued, ...] = ()
    """The seams at which the answer went on after a break."""
    question: str | None = None
    """The question that the log was opened with, where other wordings of it get its answer too."""


class Fold:
    """Builds an answer event by event, in time linear in the size of the log.

    A second `start` begins the answer anew. Nothing counts after the ending. A delta, an end or a result of a tool call
    that never began is ignored. `Fold(answer)` continues an answer that is known already.
    """

    def __init__(self, answer: Answer = Answer()) -> None:  # noqa: B008 - immutable
        self._reset(answer)

    def feed(self, entry: Entry) -> None:
        """Add the next entry of the log: its event, its offset and its time."""
        if self.ending is not None:
            return
        event = entry.event
        self.add(event)
        self._offset, self._duration = entry.offset, entry.at
        if self._first_text is None and is_token(event):
            if self._first_token is None:
                self._first_token = entry.at
            if not isinstance(event, ReasoningDelta):
                self._first_text = entry.at

    def add(self, event: Event) -> None:
        """Add an event alone, where its offset and its time are not known or do not matter."""
        if self.ending is not None:
            return
        if isinstance(event, TextDelta):  # nearly every event; one pointer comparison instead of the match below
            self._text.append(event.text)
            return
        match event:
            case Start(id, model, created, cache):
                self._reset(Answer(id, model, created=created, question=cache and cache.matched))
            case ReasoningDelta(text):
                self._reasoning.append(text)
            case ToolCallStart(id, name):
                call = _Call(ToolCall(id, name))
                self._calls.append(call)
                self._calls_by_id.setdefault(id, []).append(call)
            case ToolCallDelta(id, arguments):
                for call in self._calls_by_id.get(id, ()):
                    call.arguments.append(arguments)
            case ToolCallEnd(id):
                for call in self._calls_by_id.get(id, ()):
                    call.complete = True
            case ToolResult(id, output):
                for call in self._calls_by_id.get(id, ()):
                    call.complete = True
                    call.output.append(output)
            case Metadata(data):
                self._metadata.update(data)
            case Continued():
                self.continued = (*self.continued, event)
            case Finish(_, usage):
                self.ending, self.usage = event, usage
            case Stop() | Error():
                self.ending = event
            case Unknown():
                pass
            case _:
                assert_never(event)

    @property
    def text(self) -> str:
        """The text so far."""
        return _joined(self._text)

    @property
    def reasoning(self) -> str:
        """The reasoning so far."""
        return _joined(self._reasoning)

    @property
    def tools(self) -> tuple[ToolCall, ...]:
        """The tool calls so far."""
        return tuple(call.made() for call in self._calls)

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata so far, as a dict of the caller's own."""
        return dict(self._metadata)

    def answer(self) -> Answer:
        """The answer so far; later events do not change it."""
        return Answer(
            id=self.id,
            model=self.model,
            state="open" if self.ending is None else state_after(self.ending),
            text=self.text,
            reasoning=self.reasoning,
            tools=self.tools,
            metadata=self.metadata,
            ending=self.ending,
            usage=self.usage,
            offset=self._offset,
            timing=Timing(self._first_token, self._duration, self._first_text),
            created=self.created,
            continued=self.continued,
            question=self.question,
        )

    def _reset(self, answer: Answer) -> None:
        self.id, self.model, self.created, self.question = answer.id, answer.model, answer.created, answer.question
        self.ending, self.usage, self.continued = answer.ending, answer.usage, answer.continued
        self._text, self._reasoning = [answer.text], [answer.reasoning]
        self._calls = [_Call(call) for call in answer.tools]
        self._calls_by_id: dict[str, list[_Call]] = {}
        for call in self._calls:
            self._calls_by_id.setdefault(call.id, []).append(call)
        self._metadata = dict(answer.metadata)
        self._offset = answer.offset
        self._first_token, self._duration = answer.timing.first_token, answer.timing.duration
        self._first_text = answer.timing.first_text


def fold(entries: Iterable[Entry], id: str | None = None) -> Answer:
    """The answer that some entries of a log add up to, from its first entry on, under an `id` of its own if given."""
    folding = Fold()
    for entry in entries:
        folding.feed(entry)
    if id is not None:
        folding.id = id
    return folding.answer()


def is_token(event: Event) -> bool:
    """Whether the event is the model's own output; the first such event is the first token."""
    match event:
        case TextDelta() | ReasoningDelta() | ToolCallStart() | ToolCallDelta() | ToolCallEnd() | ToolResult():
            return True
        case Start() | Metadata() | Continued() | Finish() | Stop() | Error() | Unknown():
            return False
        case _:
            assert_never(event)


class _Call:
    """A tool call that still grows: pieces in lists, because joining strings one by one takes quadratic time."""

    def __init__(self, call: ToolCall) -> None:
        self.id, self._name = call.id, call.name
        self.arguments = [call.arguments]
        self.complete = call.complete
        self.output = [] if call.output is None else [call.output]

    def made(self) -> ToolCall:
        output = _joined(self.output) if self.output else None
        return ToolCall(self.id, self._name, _joined(self.arguments), self.complete, output)


def _joined(pieces: list[str]) -> str:
    """The pieces as one string, which replaces them in the list: joining again soon costs only what is new."""
    if len(pieces) > 1:
        pieces[:] = ["".join(pieces)]
    return pieces[0]
