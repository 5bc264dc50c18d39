"""Appends to many logs in two statements, where each is as nearly all are: the next pack of a log nobody has ended.

The driver lets go of the interpreter several times in every statement, and has to wait to get it back for as long as
the event loop is busy, which it is when many tokens come. What counts then is not how much a statement does but how
many there are.
"""

import sqlite3
from collections.abc import Sequence
from functools import cache

from headwater.events import Entry
from headwater.log.packs import packed
from headwater.log.store import Lease, Limits

# Both begin with what they do, for the driver counts the rows only of a statement that does.
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
_NONE = (None, None, None, None, None)
"""What fills a statement up to a size for which it was prepared; no log has such an id."""


def append_many(db: sqlite3.Connection, limits: Limits, appends: Sequence[tuple[Sequence[Entry], Lease]]) -> bool:
    """Append to logs that nobody has asked to stop, if each append simply follows on what its log holds.

    When one does not, the answer is False, and some may have been done: all are to be undone, and tried one by one. So
    it is when one raises what is wrong with it.
    """
    logs: list[str | int] = []
    packs: list[str | int | bytes] = []
    for entries, lease in appends:
        few = packed(entries)
        if len(few) != 1:
            return False
        pack = few[0]
        logs += (lease.log, lease.epoch, pack.first - 1, pack.last, pack.size)
        packs += (lease.log, pack.first, pack.last, lease.epoch, pack.data)
    size = 1 << (len(appends) - 1).bit_length()
    fill = _NONE * (size - len(appends))
    update, insert = _statements(size)
    if db.execute(update, (*logs, *fill, limits.entries, limits.bytes)).rowcount != len(appends):
        return False
    db.execute(insert, (*packs, *fill))
    return True


@cache
def _statements(size: int) -> tuple[str, str]:
    rows = ", ".join(["(?, ?, ?, ?, ?)"] * size)
    return _LOGS.format(rows=rows), _PACKS.format(rows=rows)
