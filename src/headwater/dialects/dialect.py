"""What a dialect is: a fold over a log's entries that turns each into the bytes some client understands."""

from typing import Protocol

from headwater.events import Entry, Error


class Unspeakable(Exception):
    """The dialect has no word for this ending; the connection must break off, so that no part looks whole."""


class Wire(Protocol):
    """One reader's view of one log, fed entry by entry in order. Never awaits."""

    @property
    def media_type(self) -> str:
        """The response's `Content-Type`."""
        ...

    @property
    def heartbeat(self) -> bytes:
        """What to send into a long silence; empty when the dialect has nothing that clients skip."""
        ...

    def open(self) -> bytes:
        """The bytes before the first entry."""
        ...

    def feed(self, entry: Entry) -> bytes:
        """The bytes of one entry, possibly none. Raises `Unspeakable`."""
        ...

    def broken(self, error: Error) -> bytes:
        """The bytes that say the log could not be read on: no entry, so they carry no id. Raises `Unspeakable`."""
        ...
