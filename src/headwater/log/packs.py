"""Packs: the entries of one append joined into one piece, which costs a store one write however many they are.

The stored form of an entry is one line of JSON, so a pack is lines. Beside a pack a store keeps the sequences of its
first and last entry; a pack with another number of lines is damaged.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from headwater.entries import Entry, restore_lines
from headwater.errors import OutOfSequence, StoreError
from headwater.offsets import Offset

PACK = 256 * 1024
"""Bytes in a pack, and in the packs read for a page; a single larger entry makes a larger pack. A pack fits into any
request or reply of Upstash."""


class Pack(NamedTuple):
    """Consecutive entries, joined."""

    first: int
    last: int
    data: bytes

    @property
    def size(self) -> int:
        """Bytes of the entries themselves, as the bound of a log counts them."""
        return len(self.data) - (self.last - self.first)

    @property
    def whole(self) -> bool:
        """Whether it holds as many entries as it should."""
        return self.data.count(b"\n") == self.last - self.first

    def lines(self, after: int = 0) -> list[bytes]:
        """The stored forms of the entries after a sequence."""
        return self.data.split(b"\n")[max(after + 1 - self.first, 0) :]

    def entries(self, epoch: int, after: int = 0, most: int | None = None) -> list[Entry]:
        """The entries of a whole pack after a sequence, at most `most`. Raises `StoreError` for unreadable ones."""
        return restore_lines(Offset(epoch, max(after + 1, self.first)), self.lines(after)[:most])


def packed(entries: Sequence[Entry], size: int = PACK) -> list[Pack]:
    """The entries in as few packs of `size` bytes as possible. Raises `OutOfSequence` if they are not consecutive."""
    if not entries:
        return []
    first = entries[0].offset.sequence
    if [entry.offset.sequence for entry in entries] != list(range(first, first + len(entries))):
        raise OutOfSequence(f"entries {entries[0].offset} to {entries[-1].offset} leave a gap")
    lines = [entry.data for entry in entries]
    if sum(map(len, lines)) + len(lines) <= size:  # true of nearly every append
        return [_pack(first, lines)]
    return list(joined(first, lines, size))


def joined(first: int, lines: Iterable[bytes], size: int = PACK) -> Iterator[Pack]:
    """Lines in as few packs of `size` bytes as possible, beginning at sequence `first`; keeps one pack in memory."""
    some: list[bytes] = []
    room = size
    for line in lines:
        if some and len(line) > room:
            yield _pack(first, some)
            first, some, room = first + len(some), [], size
        some.append(line)
        room -= len(line) + 1
    if some:
        yield _pack(first, some)


def _pack(first: int, lines: list[bytes]) -> Pack:
    pack = Pack(first, first + len(lines) - 1, b"\n".join(lines))
    if not pack.whole:
        raise StoreError("an entry with a newline in it cannot be stored: entries are lines")
    return pack
