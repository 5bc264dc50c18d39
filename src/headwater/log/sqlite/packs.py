"""Packs as rows of a SQLite file.

Their key begins with the number of the log, not with its id, which would be repeated in every row. Rows are stored in
the order of that key. A table in order of arrival would take packs faster, but lose more when they are read or deleted.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from itertools import groupby
from operator import itemgetter

import msgspec

from headwater.errors import StoreError
from headwater.log.packs import PACK, Pack
from headwater.log.store import PAGE
from headwater.offsets import ORIGIN, Offset

PACKS = """
CREATE TABLE IF NOT EXISTS packs (
    log INTEGER, first INTEGER, last INTEGER NOT NULL, epoch INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (log, first)
) WITHOUT ROWID
"""


class Sizes(msgspec.Struct, frozen=True):
    """How much is read and written at once; tests make it small, so that a few entries take several packs and pages."""

    page: int = PAGE
    """Entries in a page."""
    read: int = PACK
    """Bytes of packs read for a page, or one pack if that is larger; other readers wait for the same thread."""
    pack: int = PACK
    """Bytes in a pack."""


_INSERT = "INSERT INTO packs VALUES (?, ?, ?, ?, ?)"
_BETWEEN = """
SELECT epoch, first, last, data FROM packs WHERE log = :log AND first <= :end AND first >= coalesce(
    (SELECT max(first) FROM packs WHERE log = :log AND first <= :begin), 0
) ORDER BY first
"""


def insert(db: sqlite3.Connection, log: int, epoch: int, packs: Sequence[Pack]) -> None:
    """Insert packs of one epoch of a log."""
    for pack in packs:
        db.execute(_INSERT, (log, pack.first, pack.last, epoch, pack.data))


def end_of(db: sqlite3.Connection, log: int, after: Offset) -> int:
    """How far what an offset stands for was stored: to its sequence, or to the last one of its epoch if that is less.

    Looks at one pack, and at those of later epochs that lie before the sequence.
    """
    if after == ORIGIN:
        return 0
    query = "SELECT last FROM packs WHERE log = ? AND first <= ? AND epoch <= ? ORDER BY first DESC LIMIT 1"
    found: tuple[int] | None = db.execute(query, (log, after.sequence, after.epoch)).fetchone()
    return min(found[0], after.sequence) if found else 0


def between(
    db: sqlite3.Connection, log: int, begin: int, end: int, room: int | None = None
) -> Sequence[tuple[int, Pack]]:
    """The packs from one sequence to another, about `room` bytes at most, each with its epoch.

    Packs of an epoch are joined, which makes them cheaper to take apart. The first may begin before `begin`, and the
    last may end after `end`. Raises `StoreError` if some are missing.
    """
    found: list[tuple[int, int, int, bytes]] = []
    with closing(db.execute(_BETWEEN, {"log": log, "begin": begin, "end": end})) as rows:
        for row in rows:
            found.append(row)
            if room is not None and (room := room - len(row[3])) <= 0:
                break
    packs: list[tuple[int, Pack]] = []
    for epoch, same in groupby(found, itemgetter(0)):
        _, firsts, lasts, data = zip(*same, strict=True)
        packs.append((epoch, Pack(firsts[0], lasts[-1], b"\n".join(data))))
    reaches = packs and packs[0][1].first <= begin <= packs[-1][1].last
    if not reaches or not all(pack.whole for _, pack in packs):
        raise StoreError(f"entries {begin} to {end} cannot be read: some of them are missing")
    return packs
