"""Entries: events as a log stores them, each with its offset, in a form that several versions can read."""

from collections.abc import Sequence
from typing import Annotated, Any, get_args

import msgspec

from headwater.errors import StoreError
from headwater.events import Error, Event, Known, Unknown
from headwater.offsets import Offset

SCHEMA = 1
"""Version of the stored form, the first element of every stored entry.

Every version stores one line of JSON: an array that begins with the schema, the entry's `at` and the event. A newer
version that appends elements to the array raises the schema. New event types and new fields of events do not need that.
"""


class Entry(msgspec.Struct, frozen=True, gc=False):  # never part of a reference cycle, and there are very many
    """An event as stored."""

    offset: Offset
    at: float
    """Seconds since the log was opened, by the writer's clock."""
    event: Event
    data: bytes
    """The stored form, which every store keeps unchanged. Empty for an entry that is in no store."""


class Page(tuple[Entry, ...]):
    """A batch of entries shared by several readers.

    `frames` caches the bytes a dialect encoded for the first reader so that the others reuse them.
    """

    frames: dict[str, Any] | None = None
    """By the dialect's name; only what is the same for every reader."""


class _Stored(msgspec.Struct, array_like=True, frozen=True):
    schema: Annotated[int, msgspec.Meta(ge=1)]
    at: float
    event: Known


class _StoredUnread(msgspec.Struct, array_like=True, frozen=True):
    schema: Annotated[int, msgspec.Meta(ge=1)]
    at: float
    event: msgspec.Raw


_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_TYPES = frozenset(kind.__struct_config__.tag for kind in get_args(Known))


def _as_it_was(value: Any) -> msgspec.Raw:
    if isinstance(value, Unknown):
        return msgspec.Raw(value.json)
    raise TypeError(f"an event cannot hold {type(value).__name__!r}, which is not JSON")


_encoder = msgspec.json.Encoder(enc_hook=_as_it_was)
_decoder = msgspec.json.Decoder(_Stored)
_unread_decoder = msgspec.json.Decoder(_StoredUnread)
_event_decoder = msgspec.json.Decoder(Known)


def decode(json: bytes) -> Event:
    """Read the JSON of one event, as a frame of the native dialect carries it.

    Raises `ValueError` for what no version sends: not JSON, no type, or a known type without its fields.
    """
    try:
        return _event_decoder.decode(json)
    except _UNREADABLE as error:
        try:
            return _decode_unknown(json)
        except _UNREADABLE:
            raise ValueError(str(error)) from error


def _decode_unknown(json: bytes) -> Unknown:
    """Read an event of an unknown type. Raises one of `_UNREADABLE` for anything else, a damaged known event too."""
    match msgspec.json.decode(json):
        case {"type": str(tag)} if tag not in _TYPES:
            return Unknown(tag, json)
        case _:
            raise msgspec.ValidationError("not an event of an unknown type")


def record(offset: Offset, at: float, event: Event) -> Entry:
    """Make an entry of an event. The event is encoded once, for the store and all readers.

    An unpaired surrogate, which a provider's JSON can hold and UTF-8 cannot, becomes U+FFFD.
    """
    try:
        # A tuple encodes to the same bytes as a `_Stored`, in half the time.
        return Entry(offset, at, event, _encoder.encode((SCHEMA, at, event)))
    except UnicodeEncodeError:
        mended: Event = msgspec.convert(_without_surrogates(msgspec.to_builtins(event)), type=Known)
        return Entry(offset, at, mended, _encoder.encode((SCHEMA, at, mended)))


def restore(offset: Offset, data: bytes) -> Entry:
    """Read a stored entry of this version, of an older one or of a newer one.

    An event of an unknown type becomes `Unknown`. Raises `StoreError` for bytes that no version would write, and for an
    event of a known type that cannot be read: to skip text would pass off a part as the whole.
    """
    try:
        form = _decoder.decode(data)
        return Entry(offset, form.at, form.event, data)
    except _UNREADABLE as error:
        try:
            unread = _unread_decoder.decode(data)
            return Entry(offset, unread.at, _decode_unknown(bytes(unread.event)), data)
        except _UNREADABLE:
            raise StoreError(f"entry {offset} cannot be read: {error}") from error


def restore_lines(first: Offset, lines: Sequence[bytes]) -> list[Entry]:
    """Read consecutive stored entries, beginning with the one at `first`. Raises `StoreError` as `restore` does."""
    epoch, begin = first
    try:
        forms = _decoder.decode_lines(b"\n".join(lines))
    except _UNREADABLE:
        forms = []
    if len(forms) != len(lines):  # one of them is damaged or of a newer version
        return [restore(Offset(epoch, sequence), line) for sequence, line in enumerate(lines, begin)]
    # `tuple.__new__` bypasses the named tuple's constructor, which would take a fifth of the time of this function.
    return [
        Entry(tuple.__new__(Offset, (epoch, sequence)), form.at, form.event, line)  # pyright: ignore[reportUnknownMemberType]
        for sequence, (form, line) in enumerate(zip(forms, lines, strict=True), begin)
    ]


def json_of(entry: Entry) -> bytes:
    """The event of a stored entry as JSON, with the fields that are not known here: a slice of the stored form."""
    data = entry.data
    if data.startswith(_PREFIX):
        return data[data.index(b"{") : -1]  # only two numbers precede the event
    return bytes(_unread_decoder.decode(data).event)


_PREFIX = b"[%d," % SCHEMA


def unknown_ending(last: Entry) -> Entry:
    """What readers get after an `Unknown` event that ends a sealed log: an error, in no store, at the same offset.

    This version cannot tell how the log ended. To call it finished could pass a part off as the whole, and to wait
    would never end. A client that knows the event takes it for the ending and ignores the error.
    """
    message = "A newer version of Headwater ended this answer in a way that this server does not know. Ask again."
    return Entry(last.offset, last.at, Error("newer_version", message, status=501), b"")


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
