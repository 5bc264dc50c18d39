"""The reader of dialects whose frames depend on the entries before them: an encoder folds a log into frames.

The fold begins with the log's first entry, for every reader. A client that resumes gets the same frames as one that
never left: the reader stays mute until the client's cursor, an offset or a count of frames. Readers of one page share
its bytes. What differs between readers, such as the message id, is a gap in them that each reader fills.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from headwater.dialects import sse
from headwater.dialects.dialect import BEGINNING, Cursor
from headwater.entries import Entry, Page
from headwater.errors import Diverged
from headwater.events import Continued, Ending, Error, Start, Usage
from headwater.offsets import ORIGIN, Offset, run_of

ID = b"\0"
"""The gap for the reader's own message id. JSON never holds this byte, since it escapes control characters."""
AGAIN = b"\1"
"""The gap after ids of tool calls: empty for the first reader, else a suffix, so that no two messages share an id."""
Chain = tuple[Any, Any] | None
"""A list as links, the newest outermost: a state that grows by one link stays cheap to make and to copy."""
AHEAD = 1_000_000
"""By how much the numbers of frames jump at a seam that rewinds: more frames than a log can have. So a number that a
dead server gave to what it had not stored is never one of a frame behind the seam."""
SHARED = 16
"""Encoders whose frames a page keeps, at most: clients may name any number of tools, and so of encoders."""


NO_GAPS: Mapping[bytes, bytes] = {}


class Encoder(Protocol):
    """A dialect's words for the entries of one log, as a pure fold. Never awaits."""

    name: str
    """The name under which pages keep the frames; it differs wherever the bytes do."""
    state: Any
    """What the entries so far have left to remember, as one immutable value: readers copy it to skip a shared page."""

    def encode(self, entry: Entry) -> Sequence[bytes]:
        """The entry's frames, each as one line of JSON, with the gaps `ID` and `AGAIN`."""
        ...

    def broken(self, error: Error) -> Sequence[bytes]:
        """The frames which say that the log could not be read on."""
        ...


class FoldReader:
    """One client's view of a log through an encoder.

    `gaps` fill further gaps, whose bytes JSON never holds either, or `ID` with another id than the message's. For
    `named` and `id_first` see `sse.frames`. `feed` raises `Diverged` for a client that may
    have more than was stored before a seam.
    """

    begin = ORIGIN
    jump = sys.maxsize
    """By how much the frames' own numbers grow at a seam that rewinds. A client that counts by itself cannot tell one
    side of such a seam from the other."""

    def __init__(
        self,
        encoder: Encoder,
        message_id: str,
        cursor: Cursor = BEGINNING,
        *,
        gaps: Mapping[bytes, bytes] = NO_GAPS,
        named: bool = False,
        id_first: bool = False,
    ) -> None:
        self._encoder = encoder
        self._cursor = cursor
        self._last: Entry | None = None
        self._mute = cursor != BEGINNING
        self._count = 0
        again = message_id.partition("~")[2]
        self._gaps = {ID: message_id.encode(), AGAIN: f"_{again}".encode() if again else b"", **gaps}
        run = run_of(message_id).encode()
        self._run = b"." + run if run else b""
        self._named, self._id_first = named, id_first

    def open(self) -> bytes:
        return b""

    def feed(self, page: Sequence[Entry]) -> bytes:
        encoder = self._encoder
        before, self._last = self._last, page[-1]
        if self._mute or not isinstance(page, Page):
            check_follows(page[0], before)
            return self.filled(b"".join([self._frames(entry) for entry in page]))
        frames = page.frames
        if frames is None:
            frames = page.frames = {}
        shared: tuple[bytes, list[bytes], Any, bool] | None = frames.get(encoder.name)
        if shared is None:
            check_follows(page[0], before)
            body = self._frames(page[0]) if len(page) == 1 else b"".join([self._frames(entry) for entry in page])
            filled, gaps = self._filled(body)
            if len(frames) < SHARED:
                frames[encoder.name] = body, gaps, encoder.state, isinstance(page[0].event, Start | Continued)
            return filled
        body, gaps, encoder.state, begins_epoch = shared
        if begins_epoch:
            check_follows(page[0], before)
        for gap in gaps:
            body = body.replace(gap, self._gaps[gap])
        return body

    def broken(self, error: Error) -> bytes:
        return self.filled(sse.frames(self._encoder.broken(error), None, self._run, self._named))

    def filled(self, body: bytes) -> bytes:
        """The bytes with every gap filled."""
        return self._filled(body)[0]

    def _frames(self, entry: Entry) -> bytes:
        lines = self._encoder.encode(entry)
        comment = b"" if lines or not isinstance(entry.event, Continued) else sse.SEAM
        if self._mute:
            lines = self._unseen(entry, lines)
        # An entry that is in no store has no id.
        offset = entry.offset if entry.data else None
        if lines:
            return sse.frames(lines, offset, self._run, self._named, self._id_first)
        return b"" if self._mute else comment

    def _unseen(self, entry: Entry, lines: Sequence[bytes]) -> Sequence[bytes]:
        """The frames that follow the cursor; the first of them ends the silence."""
        after = self._cursor.after
        if entry.offset <= after:
            return ()
        check_follows(entry, after)
        if isinstance(entry.event, Continued) and entry.event.rewind:
            self._count += self.jump
            if 0 < self._cursor.frames <= self._count:
                raise Diverged.at(entry.offset)
        seen = max(0, self._cursor.frames - self._count)
        self._count += len(lines)
        self._mute = self._count < self._cursor.frames
        return lines[seen:]

    def _filled(self, body: bytes) -> tuple[bytes, list[bytes]]:
        """The bytes with every gap filled, and which gaps are in them: most pages have the message id alone."""
        gaps: list[bytes] = []
        for gap, filling in self._gaps.items():
            before, body = body, body.replace(gap, filling)
            if body is not before:  # replace returns the same object where it finds nothing; another costs time only
                gaps.append(gap)
        return body, gaps


def check_follows(entry: Entry, before: Entry | Offset | None) -> None:
    """Check that an entry follows the last one that a client has.

    Raises `Diverged` if a successor's epoch begins earlier than that. An ending may: it takes no words back.
    """
    last = before.offset if isinstance(before, Entry) else before
    if last is not None and entry.offset.sequence <= last.sequence and not isinstance(entry.event, Ending):
        raise Diverged.at(entry.offset)


def listed(chain: Chain) -> list[Any]:
    """The links of a chain, oldest first."""
    links: list[Any] = []
    while chain is not None:
        chain, link = chain
        links.append(link)
    return links[::-1]


def counted(usage: Usage) -> dict[str, int]:
    """Token counts in the words of AG-UI and the AI SDK; finer ones that the provider did not report are left out."""
    finer = {"cachedInputTokens": usage.cached_tokens, "reasoningTokens": usage.reasoning_tokens}
    return {
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens + usage.output_tokens,
        **{name: count for name, count in finer.items() if count},
    }


def quoted(text: str, gap: bytes = b"") -> bytes:
    """A string as JSON, with a gap at its end."""
    written = sse.encode(text)
    return written[:-1] + gap + b'"' if gap else written
