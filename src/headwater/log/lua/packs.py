"""Packs as entries of a Redis stream (`log.lua` describes their form), and how they become entries of a log."""

from collections.abc import Sequence
from typing import NamedTuple

from headwater.entries import Entry
from headwater.errors import Torn
from headwater.log.packs import Pack

Stored = tuple[bytes, list[bytes]]
"""A pack as Redis returns it: its stream id, then its fields and values in turn."""


class Opened(NamedTuple):
    """The entries of some packs, with the series and the last sequence of the last pack."""

    entries: list[Entry]
    series: int
    last: int


def opened(log: str, stored: Sequence[Stored], begin: int) -> Opened:
    """The entries after the sequence `begin`, of packs that reach back to it. Raises `Expired` if some are missing."""
    found: list[Entry] = []
    series, last = 0, None
    for id, fields in stored:
        series, first = (int(part) for part in id.split(b"-"))
        values = dict(zip(fields[::2], fields[1::2], strict=True))
        if not values[b"d"]:
            continue  # it begins the log or a new series, and holds no entries
        pack = Pack(first, int(values[b"l"]), values[b"d"])
        follows = first <= begin + 1 if last is None else first == last + 1
        last = pack.last
        if not follows or not pack.whole or last <= begin:
            raise Torn.of(log)
        found += pack.entries(int(values[b"e"]), begin)
    return Opened(found, series, begin if last is None else last)
