"""Packs as they lie in a Redis stream, each an entry of it (`lua/log.lua` says how), and how they are taken apart."""

from collections.abc import Sequence
from typing import NamedTuple

from headwater.errors import Expired
from headwater.events import Entry
from headwater.log.packs import Pack

Stored = tuple[bytes, list[bytes]]
"""A pack as Redis returns it: its id, then its fields and their values."""


class Opened(NamedTuple):
    """Some packs taken apart, and where they lie."""

    entries: list[Entry]
    turn: int
    last: int


def opened(log: str, stored: Sequence[Stored], begin: int) -> Opened:
    """The entries after the sequence `begin`, of packs that reach back to it. Raises `Expired` if some are missing."""
    found: list[Entry] = []
    turn, last = 0, None
    for id, fields in stored:
        turn, first = (int(part) for part in id.split(b"-"))
        values = dict(zip(fields[::2], fields[1::2], strict=True))
        if not values[b"d"]:
            continue  # it begins the log, or a new turn, and holds no entry
        pack = Pack(first, int(values[b"l"]), values[b"d"])
        follows = first <= begin + 1 if last is None else first == last + 1
        last = pack.last
        if not follows or not pack.whole or last <= begin:
            raise Expired.torn(log)
        found += pack.entries(int(values[b"e"]), begin)
    return Opened(found, turn, begin if last is None else last)
