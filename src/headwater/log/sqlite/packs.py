"""Packs as they lie in a SQLite file: a row each.

Their key begins with a number, not the log's id, which would be repeated in every row. They lie in its order: a table
in the order of arrival takes packs faster, and costs more than that when they are read and deleted.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from itertools import groupby
from operator import itemgetter

from headwater.errors import StoreError
from headwater.log.packs import Pack

PACKS = """
CREATE TABLE IF NOT EXISTS packs (
    log INTEGER, first INTEGER, last INTEGER NOT NULL, epoch INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (log, first)
) WITHOUT ROWID
"""

_INSERT = "INSERT INTO packs VALUES (?, ?, ?, ?, ?)"
_BETWEEN = """
SELECT epoch, first, last, data FROM packs WHERE log = :log AND first <= :end AND first >= coalesce(
    (SELECT max(first) FROM packs WHERE log = :log AND first <= :begin), 0
) ORDER BY first
"""


def insert(db: sqlite3.Connection, log: int, epoch: int, packs: Sequence[Pack]) -> None:
    """Keep packs of one epoch of a log."""
    for pack in packs:
        db.execute(_INSERT, (log, pack.first, pack.last, epoch, pack.data))


def between(
    db: sqlite3.Connection, log: int, begin: int, end: int, room: int | None = None
) -> Sequence[tuple[int, Pack]]:
    """What is stored from one sequence to another, but no more than about `room` bytes: packs, each with its epoch.

    Those of an epoch come as one, so that little is to be done for each of them. The first begins no later than asked
    for, and the last may end later. Raises `StoreError` if some are missing.
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
