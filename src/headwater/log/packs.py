"""Packs: the entries of one append as one piece, which costs a store one write however many they are.

An entry's stored form is one line of JSON, so a pack is lines. What a store keeps beside a pack says which entries
these are; a pack that says otherwise is damaged.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from headwater.errors import OutOfSequence, StoreError
from headwater.events import Entry, restore_lines
from headwater.offsets import Offset

PACK = 256 * 1024
"""Bytes of a pack, about; what is larger goes in several. One fits into any request or reply of Upstash's."""


class Pack(NamedTuple):
    """Consecutive entries, joined."""

    first: int
    last: int
    data: bytes

    @property
    def size(self) -> int:
        """Bytes of the entries themselves, as a log's bound counts them."""
        return len(self.data) - (self.last - self.first)

    @property
    def whole(self) -> bool:
        """Whether it holds as many entries as it should."""
        return self.data.count(b"\n") == self.last - self.first

    def lines(self, after: int = 0) -> list[bytes]:
        """The stored forms of the entries after a sequence."""
        return self.data.split(b"\n")[max(after + 1 - self.first, 0) :]

    def entries(self, epoch: int, after: int = 0, most: int | None = None) -> list[Entry]:
        """A whole pack's entries after a sequence, at most so many. Raises `StoreError` for what cannot be read."""
        return restore_lines(Offset(epoch, max(after + 1, self.first)), self.lines(after)[:most])


def packed(entries: Sequence[Entry]) -> list[Pack]:
    """The entries in as few packs as hold them. Raises `OutOfSequence` if they are not consecutive."""
    if not entries:
        return []
    first = entries[0].offset.sequence
    if [entry.offset.sequence for entry in entries] != list(range(first, first + len(entries))):
        raise OutOfSequence(f"entries {entries[0].offset} to {entries[-1].offset} leave a gap")
    lines = [entry.data for entry in entries]
    if sum(map(len, lines)) + len(lines) <= PACK:  # as nearly every append is
        return [_pack(first, lines)]
    return list(joined(first, lines))


def joined(first: int, lines: Iterable[bytes]) -> Iterator[Pack]:
    """Lines in as few packs as hold them, the first of them at this sequence; no more than a pack is held at a time."""
    some: list[bytes] = []
    size = 0
    for line in lines:
        if some and size + len(line) > PACK:
            yield _pack(first, some)
            first, some, size = first + len(some), [], 0
        some.append(line)
        size += len(line) + 1
    if some:
        yield _pack(first, some)


def _pack(first: int, lines: list[bytes]) -> Pack:
    pack = Pack(first, first + len(lines) - 1, b"\n".join(lines))
    if not pack.whole:
        raise StoreError("an entry with a newline in it cannot be stored: entries are lines")
    return pack
