"""The dialect contract: everything web/ needs to serve one kind of client. Pure: no dialect does I/O.

A request goes from bytes to a `Prompt`, and a log goes from entries to bytes. A returning client's position is its
cursor: an offset or a number of frames, whichever its protocol counts.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from headwater.entries import Entry
from headwater.events import Error
from headwater.offsets import ORIGIN, Offset
from headwater.prompt import Prompt


class Unspeakable(Exception):
    """The dialect cannot express an ending: the connection is broken off, so that no part looks whole.

    `before` holds the bytes of the entries that came before it in the same page. `instead` is the refusal to send where
    the response has not begun.
    """

    def __init__(self, before: bytes = b"", instead: Error | None = None) -> None:
        super().__init__("this dialect cannot express that ending")
        self.before = before
        self.instead = instead


class Ask(NamedTuple):
    """What a request's body asks for."""

    prompt: Prompt
    whole: bool = False
    """Whether the client wants one JSON object at the end instead of a stream."""
    dialect: "Dialect | None" = None
    """How to answer, where that depends on the request; None for the dialect that has read it."""
    bypass: bool = False
    """Whether the answer is to be a new one that the cache does not keep, as `Cache-Control: no-store` says."""
    renew: bool = False
    """Whether a stored answer will not do: the user wants another one in its place, as `no-cache` says."""


class Cursor(NamedTuple):
    """A client's position in a log."""

    after: Offset = ORIGIN
    """The offset of the last entry that it has received completely."""
    frames: int = 0
    """The number of frames that it has received, in dialects that count frames instead."""
    run: str = ""
    """The run of the log that issued `after`, where the client names it."""


BEGINNING = Cursor()


class Refusal(NamedTuple):
    """A failure before the first byte, as a response of its own."""

    status: int
    body: bytes
    media_type: str
    headers: Mapping[str, str] = {}


class Reader(Protocol):
    """One client's view of one log: a fold that turns pages of entries, in order, into bytes. Never awaits."""

    begin: Offset
    """The offset after which the log is to be read: the cursor, or the origin for a fold that needs all of it."""

    def open(self) -> bytes:
        """The bytes before the first entry."""
        ...

    def feed(self, page: Sequence[Entry]) -> bytes:
        """The bytes of consecutive entries, possibly none. Raises `Unspeakable`."""
        ...

    def broken(self, error: Error) -> bytes:
        """The bytes that say the log could not be read on: no entry, so they carry no id. Raises `Unspeakable`."""
        ...


class Dialect(Protocol):
    """How one kind of client speaks. One object serves all requests; a `Reader` is made for each response."""

    name: str
    """The dialect's name in metrics and logs."""
    media_type: str
    """The `Content-Type` of a stream."""
    heartbeat: bytes
    """The bytes that fill a long silence; empty when the dialect has nothing that clients skip."""
    delimited: bool
    """Whether clients notice a stream that stops without an ending; if not, the connection is cut."""

    def ask(self, body: bytes) -> Ask:
        """Read a request's body. Raises `RequestError`, or `InvalidPrompt` naming the field."""
        ...

    def cursor(self, headers: Mapping[str, str], query: Mapping[str, str]) -> Cursor:
        """The cursor of a returning client, from its request; header names are lower case. Raises `RequestError`."""
        ...

    def reader(self, message_id: str, cursor: Cursor = BEGINNING) -> Reader:
        """A reader of the log under `message_id`, for what comes after the cursor."""
        ...

    def whole(self, message_id: str, entries: Sequence[Entry]) -> bytes:
        """The entries of a log as one JSON object, whole or as far as they have come; for an `Ask` that is `whole`.

        Raises `Unspeakable` for an ending that the object could not show, which would make a part look whole.
        """
        raise Unspeakable

    def refusal(self, error: Error) -> Refusal:
        """A failure before the first byte, in this dialect's form."""
        ...

    def headers(self, message_id: str) -> Mapping[str, str]:
        """Response headers of this dialect's own, beside those that web/ gives every answer."""
        return {}
