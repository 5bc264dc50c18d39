"""Files that earlier versions wrote, brought to the present form by the first who opens them.

A process of such a version that still runs cannot write any more: SQLite tells it that its table is gone, its readers
hear that the store failed, and its logs lapse and end as `lost`. It will not open the file again, which is newer than
it knows.
"""

import sqlite3
from itertools import chain, count, groupby

from headwater.log.packs import joined
from headwater.log.sqlite.packs import insert


def from_form_1(db: sqlite3.Connection) -> None:
    """Make packs of entries that lie in a row each. Belongs in a transaction, for which it takes about 4 µs an entry.

    Holds one pack at a time in memory. The file grows to nearly twice its size, and shrinks again as it is swept; until
    the transaction is over, its WAL holds as much once more.
    """
    rows = db.execute("SELECT log, epoch, sequence, data FROM entries ORDER BY log, sequence")
    # The difference stays the same while one sequence follows another; where one is missing, that is to remain so.
    runs = groupby(zip(count(), rows, strict=False), lambda each: (*each[1][:2], each[1][2] - each[0]))
    for (log, epoch, _), run in runs:
        _, (_, _, first, data) = next(run)
        for pack in joined(first, chain([_line(data)], (_line(row[3]) for _, row in run))):
            insert(db, log, epoch, [pack])
    db.execute("DROP TABLE entries")


def _line(data: bytes) -> bytes:
    # No version wrote a newline. Damage must not keep the rest from being read, and is damage in this form, too.
    return data.replace(b"\n", b"\r")
