"""Appends to many logs in two statements, if each append simply adds the next pack to an open log, as nearly all do.

The sqlite3 driver releases the interpreter lock several times in every statement. It then waits to get the lock back
for as long as the event loop is busy, as it is when many tokens arrive. So the cost is the number of statements, not
what each of them does.
"""

import sqlite3
from collections.abc import Sequence
from functools import cache

from headwater.entries import Entry
from headwater.log.packs import packed
from headwater.log.store import Lease, Limits

# Both begin with UPDATE or INSERT, because the driver reports `rowcount` only for statements that do.
_LOGS = """
UPDATE logs SET beat = beat + 1, last = new.last, size = logs.size + new.size
FROM (WITH given (log, epoch, before, last, size) AS (VALUES {rows}) SELECT * FROM given) AS new
WHERE logs.id = new.log AND logs.state = 'open' AND logs.epoch = new.epoch AND logs.last = new.before
    AND logs.stop IS NULL AND new.last <= ? AND logs.size + new.size <= ?
"""
_PACKS = """
INSERT INTO packs WITH new (log, first, last, epoch, data) AS (VALUES {rows})
SELECT logs.key, new.first, new.last, new.epoch, new.data FROM new CROSS JOIN logs ON logs.id = new.log
"""
_PADDING = (None, None, None, None, None)
"""Padding: statements are prepared for powers of two, and a NULL id matches no log."""


def append_many(db: sqlite3.Connection, limits: Limits, appends: Sequence[tuple[Sequence[Entry], Lease]]) -> bool:
    """Append to several logs, if each append is the next pack of a log that nobody has asked to stop.

    Returns False if one is not, and raises if one is invalid. Either way some may have been done: the caller must roll
    back and repeat them one by one.
    """
    logs: list[str | int] = []
    rows: list[str | int | bytes] = []
    for entries, lease in appends:
        packs = packed(entries)
        if len(packs) != 1:
            return False
        pack = packs[0]
        logs += (lease.log, lease.epoch, pack.first - 1, pack.last, pack.size)
        rows += (lease.log, pack.first, pack.last, lease.epoch, pack.data)
    size = 1 << (len(appends) - 1).bit_length()
    padding = _PADDING * (size - len(appends))
    update, insert = _statements(size)
    if db.execute(update, (*logs, *padding, limits.entries, limits.bytes)).rowcount != len(appends):
        return False
    db.execute(insert, (*rows, *padding))
    return True


@cache
def _statements(size: int) -> tuple[str, str]:
    rows = ", ".join(["(?, ?, ?, ?, ?)"] * size)
    return _LOGS.format(rows=rows), _PACKS.format(rows=rows)
