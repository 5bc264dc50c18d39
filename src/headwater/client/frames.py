"""An incremental parser of Server-Sent Events (WHATWG HTML §9.2). Pure, no I/O."""

import re
from typing import NamedTuple

_EOL = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
_LONGEST_RETRY = 9
"""Digits of a `retry:` that are accepted. More than 11 days are a mistake, and Python refuses very long integers."""


class Frame(NamedTuple):
    """One dispatched event."""

    data: str
    """The `data:` lines, joined by LF."""
    id: str | None = None
    """The id in this frame; None if the frame has none, and the one before stays."""


class Parser:
    """Turns the bytes of one response into frames, independent of how the bytes are cut into chunks.

    A frame that the end of the stream truncates is dropped together with its id.
    """

    def __init__(self) -> None:
        self.retry: int | None = None
        """Milliseconds to wait before a reconnect: the server's last `retry:`."""
        self._rest: list[bytes] = []  # pieces of the unfinished line
        self._after_cr = False
        self._begun = False
        self._forget()

    def feed(self, chunk: bytes) -> list[Frame]:
        """Add the next bytes and return the frames that they complete."""
        if self._after_cr and chunk:
            # The CR at the end of the last chunk ended its line; an LF that follows belongs to that CR.
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
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit() and len(value) <= _LONGEST_RETRY:
                self.retry = int(value)
            case _:
                pass  # a comment (the name is empty), or a field of no use here: the data say what the event is
        return None

    def _dispatch(self) -> Frame | None:
        data, id = self._data, self._id
        self._forget()
        return Frame("\n".join(data), id) if data else None

    def _forget(self) -> None:
        self._data: list[str] = []
        self._id: str | None = None
