"""The facts a model produces: a closed union of immutable events, and the form in which they are stored.

An ending is an event: `Finish`, `Stop` or `Error`, exactly one, and nothing follows it. Dispatch with `match` and
`assert_never`, so that a new event makes the type checker list every wire that must learn it.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, assert_never

import msgspec

from headwater.errors import HeadwaterError, StoreError
from headwater.offsets import Offset

SCHEMA = 1
"""Version of the stored form; it travels with every entry, so that two versions can run side by side."""

MAX_EVENT = 64 * 1024
"""Bytes an event may take in its stored form, since clients and proxies have limits of their own; see `parts`."""


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens the provider counted for one answer."""

    input_tokens: int = 0
    output_tokens: int = 0
    details: dict[str, Any] = {}


class Start(msgspec.Struct, frozen=True, tag="start"):
    """The generation began; `message_id` names the answer, `model` who gives it."""

    message_id: str
    model: str


class TextDelta(msgspec.Struct, frozen=True, tag="text-delta"):
    """A piece of the answer."""

    text: str


class ReasoningDelta(msgspec.Struct, frozen=True, tag="reasoning-delta"):
    """A piece of what the model shows of its thinking."""

    text: str


class ToolCallStart(msgspec.Struct, frozen=True, tag="tool-call-start"):
    """The model begins to call a tool."""

    id: str
    name: str


class ToolCallDelta(msgspec.Struct, frozen=True, tag="tool-call-delta"):
    """A piece of the JSON text of a tool's arguments."""

    id: str
    arguments: str


class ToolCallEnd(msgspec.Struct, frozen=True, tag="tool-call-end"):
    """The arguments of a tool call are complete."""

    id: str


class ToolResult(msgspec.Struct, frozen=True, tag="tool-result"):
    """What a tool gave back, as text; a large one comes in several parts, to be joined in order."""

    id: str
    output: str


class Metadata(msgspec.Struct, frozen=True, tag="metadata"):
    """Something worth telling that is not the answer, such as how much history was left out to fit the model."""

    data: dict[str, Any]


class Finish(msgspec.Struct, frozen=True, tag="finish", omit_defaults=True):
    """The model came to its own end; `reason` is `stop`, `length`, `tool_calls`, `content_filter` or `other`."""

    reason: str
    usage: Usage | None = None


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Somebody asked for the end; `by` is the subject who did."""

    by: str


class Error(msgspec.Struct, frozen=True, tag="error", omit_defaults=True):
    """The answer broke off; what came before is a part, never the whole."""

    code: str
    message: str
    retryable: bool = False
    retry_after: float | None = None
    status: int = 502
    """The HTTP status this deserves when nothing has been sent yet."""


Ending = Finish | Stop | Error
Event = (
    Start
    | TextDelta
    | ReasoningDelta
    | ToolCallStart
    | ToolCallDelta
    | ToolCallEnd
    | ToolResult
    | Metadata
    | Finish
    | Stop
    | Error
)
State = Literal["open", "finished", "stopped", "failed", "lost"]


class Entry(msgspec.Struct, frozen=True, gc=False):  # never part of a cycle, and there are very many of them
    """An event as stored: with its offset, when it came, and the bytes that every store keeps of it."""

    offset: Offset
    at: float
    """Seconds since the log was opened, by the writer's clock."""
    event: Event
    data: bytes
    """The stored form, without the offset, which is the key it is stored under."""


class Page(tuple[Entry, ...]):
    """Entries that several readers are given at once, and the bytes that a wire made of them for the first of these."""

    frames: dict[str, bytes] | None = None
    """By the wire's name; only bytes that are the same for every reader."""


class _Stored(msgspec.Struct, array_like=True, frozen=True):
    schema: int
    at: float
    event: Event


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Stored)


def record(offset: Offset, at: float, event: Event) -> Entry:
    """Make an entry of an event, encoding it once for all who will keep or send it.

    Half of a surrogate pair, which a provider's JSON can hold and UTF-8 cannot, becomes U+FFFD.
    """
    try:
        # A tuple and not a `_Stored`, which says the same and takes twice as long.
        return Entry(offset, at, event, _encoder.encode((SCHEMA, at, event)))
    except UnicodeEncodeError:
        mended: Event = msgspec.convert(_without_surrogates(msgspec.to_builtins(event)), type=Event)  # pyright: ignore[reportUnknownMemberType]
        return Entry(offset, at, mended, _encoder.encode((SCHEMA, at, mended)))


def restore(offset: Offset, data: bytes) -> Entry:
    """Read a stored entry back. Raises `StoreError` for bytes that no version known here wrote."""
    try:
        form = _decoder.decode(data)
    except msgspec.MsgspecError as broken:
        raise StoreError(f"entry {offset} cannot be read: {broken}") from broken
    return Entry(offset, form.at, form.event, data)


def restore_lines(first: Offset, lines: Sequence[bytes]) -> list[Entry]:
    """Read consecutive stored entries back, from the one at `first` on. Raises `StoreError` as `restore` does."""
    epoch, begin = first
    try:
        forms = _decoder.decode_lines(b"\n".join(lines))
    except msgspec.MsgspecError:
        forms = []
    if len(forms) != len(lines):  # one of them cannot be read, and its offset is to be told
        return [restore(Offset(epoch, sequence), line) for sequence, line in enumerate(lines, begin)]
    # Past the named tuple's own constructor, which would cost a fifth of all this.
    return [
        Entry(tuple.__new__(Offset, (epoch, sequence)), form.at, form.event, line)  # pyright: ignore[reportUnknownMemberType]
        for sequence, (form, line) in enumerate(zip(forms, lines, strict=True), begin)
    ]


def json_of(entry: Entry) -> bytes:
    """The event alone as JSON, cut out of the stored form rather than encoded again for each who reads it."""
    data = entry.data
    if data.startswith(_PREFIX):
        return data[data.index(b"{") : -1]  # before it come two numbers only
    return _encoder.encode(entry.event)


_PREFIX = b"[%d," % SCHEMA


def _without_surrogates(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case dict():
            return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType]
        case list():
            return [_without_surrogates(v) for v in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value


def is_admissible(ending: Ending) -> bool:
    """Whether a log that ends so may answer a new request: whole answers only.

    `length` is a truncated answer; a stopped, failed or lost one is a part. None of them is ever replayed to somebody
    who did not ask for that log by its id.
    """
    match ending:
        case Finish(reason):
            return reason in ("stop", "tool_calls")
        case Stop() | Error():
            return False
        case _:
            assert_never(ending)


def state_after(ending: Ending) -> State:
    """The state in which an ending leaves its log."""
    match ending:
        case Finish():
            return "finished"
        case Stop():
            return "stopped"
        case Error(code="lost"):
            return "lost"
        case Error():
            return "failed"
        case _:
            assert_never(ending)


def error_event(error: HeadwaterError) -> Error:
    """The event that says the same as an error of ours."""
    return Error(error.code, str(error), error.retryable, error.retry_after, error.status)


def parts(event: Event) -> Sequence[Event]:
    """The event itself, or several that say the same when its text would pass `MAX_EVENT`."""
    if type(event) is TextDelta and len(event.text) <= _PIECE:  # what nearly all are; a `match` costs six times this
        return (event,)
    match event:
        case TextDelta(text) | ReasoningDelta(text):
            return [type(event)(piece) for piece in _pieces(text)]
        case ToolCallDelta(id, text):
            return [ToolCallDelta(id, piece) for piece in _pieces(text)]
        case ToolResult(id, text):
            return [ToolResult(id, piece) for piece in _pieces(text)]
        case Start() | ToolCallStart() | ToolCallEnd() | Metadata() | Finish() | Stop() | Error():
            return (event,)
        case _:
            assert_never(event)


# A character takes at most 6 bytes in a JSON line that is pure ASCII (\uXXXX; two of them, 12, beyond the BMP, which
# Python counts as one character), and a few hundred bytes go to the frame around it.
_PIECE = (MAX_EVENT - 1024) // 12


def _pieces(text: str) -> Iterator[str]:
    if len(text) <= _PIECE:
        yield text
        return
    for begin in range(0, len(text), _PIECE):
        yield text[begin : begin + _PIECE]
