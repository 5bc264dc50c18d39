"""Converts files of earlier versions to the present form, when the first process of this version opens them.

A process of an earlier version that still runs can no longer write: its table is gone, so its readers get a store
error, and its open logs lapse and end as `lost`. It refuses to open the file again, whose form it does not know.
"""

import sqlite3
from contextlib import closing
from itertools import chain, count, groupby

from headwater.log.packs import joined
from headwater.log.sqlite.packs import insert


def from_form_1(db: sqlite3.Connection) -> None:
    """Join entries, which lie in a row each, into packs. Call it in a transaction; it takes about 4 µs an entry.

    Keeps one pack in memory. The file grows to nearly twice its size, and shrinks again as it is swept. Until the
    transaction ends, its WAL is as large again.
    """
    # Closed also when this fails: an open cursor keeps its lock on the file for as long as the error is referenced.
    with closing(db.execute("SELECT log, epoch, sequence, data FROM entries ORDER BY log, sequence")) as rows:
        # Consecutive sequences have the same difference to a count. A gap ends a run, so that it stays a gap.
        runs = groupby(zip(count(), rows, strict=False), lambda each: (*each[1][:2], each[1][2] - each[0]))
        for (log, epoch, _), run in runs:
            _, (_, _, first, data) = next(run)
            for pack in joined(first, chain([_line(data)], (_line(row[3]) for _, row in run))):
                insert(db, log, epoch, [pack])
    db.execute("DROP TABLE entries")


def _line(data: bytes) -> bytes:
    # No version wrote a newline, so this entry is damaged. It stays damaged, and must not make others unreadable.
    return data.replace(b"\n", b"\r")
