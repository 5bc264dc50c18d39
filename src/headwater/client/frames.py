"""Server-Sent Events as bytes arrive: the reading half of WHATWG HTML §9.2. Pure, no I/O."""

import re
from typing import NamedTuple

_EOL = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
_LONGEST_RETRY = 9
"""Digits of a `retry:` that is believed; more than 11 days are a mistake, and Python refuses to read very long ones."""


class Frame(NamedTuple):
    """One dispatched event."""

    data: str
    """The `data:` lines, joined by LF."""
    event: str = "message"
    id: str | None = None
    """The id written in this very frame; None when it only inherits `Parser.last_id`."""


class Parser:
    """Turns the bytes of one response into frames, however they are cut into chunks.

    A frame that the end of the stream cuts in two is never given out, and its id never counts.
    """

    def __init__(self) -> None:
        self.last_id = ""
        """The id of the last frame, which stays until another changes it: what `Last-Event-ID` would send."""
        self.retry: int | None = None
        """Milliseconds to wait before a reconnect, as the server asked last."""
        self._rest: list[bytes] = []  # pieces of the line that has not ended yet
        self._after_cr = False
        self._begun = False
        self._forget()

    def feed(self, chunk: bytes) -> list[Frame]:
        """Take the next bytes; give the frames that they complete."""
        if self._after_cr and chunk:
            # A CR ended the line already; the LF that may follow belongs to it, also when it comes a chunk later.
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        *lines, rest = _EOL.split(chunk)
        if lines:
            lines[0] = b"".join(self._rest) + lines[0]
            self._rest = []
        self._rest.append(rest)
        return [frame for line in lines if (frame := self._line(line)) is not None]

    def _line(self, line: bytes) -> Frame | None:
        if not self._begun:
            self._begun = True
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
            case "event":
                self._event = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit() and len(value) <= _LONGEST_RETRY:
                self.retry = int(value)
            case _:
                pass  # a comment, whose name is empty, or a field that the standard does not know
        return None

    def _dispatch(self) -> Frame | None:
        data, event, id = self._data, self._event, self._id
        self._forget()
        if id is not None:
            self.last_id = id
        return Frame("\n".join(data), event or "message", id) if data else None

    def _forget(self) -> None:
        self._data: list[str] = []
        self._event = ""
        self._id: str | None = None
