"""Packs: the entries of one append as one entry of a Redis stream, which costs one command however many they are.

`lua/log.lua` says how they lie in the stream.
"""

from collections.abc import Sequence
from typing import NamedTuple

from headwater.errors import Expired, OutOfSequence, StoreError
from headwater.events import Entry, restore
from headwater.offsets import Offset

PACK = 256 * 1024
"""Bytes of a pack, about; what is larger goes in several. One fits into any request or reply of Upstash's."""

Stored = tuple[bytes, list[bytes]]
"""A pack as Redis returns it: its id, then its fields and their values."""


class Pack(NamedTuple):
    """Consecutive entries, joined."""

    first: int
    last: int
    data: bytes

    @property
    def size(self) -> int:
        """Bytes of the entries themselves, as a log's bound counts them."""
        return len(self.data) - (self.last - self.first)


class Opened(NamedTuple):
    """Some packs taken apart, and where they lie."""

    entries: list[Entry]
    turn: int
    last: int


def packed(entries: Sequence[Entry]) -> list[Pack]:
    """The entries in as few packs as hold them. Raises `OutOfSequence` if they are not consecutive."""
    packs: list[Pack] = []
    lines: list[bytes] = []
    size = 0
    for expected, entry in enumerate(entries, entries[0].offset.sequence if entries else 0):
        if entry.offset.sequence != expected:
            raise OutOfSequence(f"entries {entries[0].offset} to {entries[-1].offset} leave a gap")
        if lines and size + len(entry.data) > PACK:
            packs.append(_pack(lines, expected - 1))
            lines, size = [], 0
        lines.append(entry.data)
        size += len(entry.data) + 1
    if lines:
        packs.append(_pack(lines, entries[-1].offset.sequence))
    return packs


def opened(log: str, stored: Sequence[Stored], begin: int) -> Opened:
    """The entries after the sequence `begin`, of packs that reach back to it. Raises `Expired` if some are missing."""
    found: list[Entry] = []
    turn, last = 0, None
    for id, fields in stored:
        turn, first = (int(part) for part in id.split(b"-"))
        values = dict(zip(fields[::2], fields[1::2], strict=True))
        data = values[b"d"]
        if not data:
            continue  # it begins the log, or a new turn, and holds no entry
        lines = data.split(b"\n")
        follows = first <= begin + 1 if last is None else first == last + 1
        last = int(values[b"l"])
        if not follows or last != first + len(lines) - 1 or last <= begin:
            raise Expired(f"log {log} has lost entries that the store had taken; ask again")
        epoch, skip = int(values[b"e"]), max(begin + 1 - first, 0)
        found += [restore(Offset(epoch, first + i), line) for i, line in enumerate(lines[skip:], skip)]
    return Opened(found, turn, begin if last is None else last)


def _pack(lines: list[bytes], last: int) -> Pack:
    data = b"\n".join(lines)
    if data.count(b"\n") != len(lines) - 1:
        raise StoreError("an entry with a newline in it cannot be stored: entries are lines")
    return Pack(last - len(lines) + 1, last, data)
