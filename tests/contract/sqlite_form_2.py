"""A SQLite file of form 2, whose logs have no owner and no recovery, as earlier versions wrote it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlite_form_1 import LOGS, form_1

from headwater.log.packs import packed

PACKS = """
CREATE TABLE packs (
    log INTEGER, first INTEGER, last INTEGER NOT NULL, epoch INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (log, first)
) WITHOUT ROWID
"""

OPEN = "INSERT INTO logs (id, tenant, name, ttl, opened) VALUES (?, 'acme', NULL, 60, 0)"
APPEND = "INSERT INTO packs SELECT key, 1, 1, 1, ? FROM logs WHERE id = ?"
BEAT = "UPDATE logs SET beat = beat + 1, last = 1, size = 10 WHERE id = ?"
CLOSE = "UPDATE logs SET state = 'lost', epoch = 2, last = 1, sealed = 1, expires = 9e9 WHERE id = ?"
"""What a process of that version does to a log."""


def form_2(path: Path) -> None:
    """Create the file, with the same logs as one of form 1."""
    form_1(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DROP TABLE entries")
        db.execute(PACKS)
        for key, (_, written) in enumerate(LOGS.values(), 1):
            for epoch in sorted({each.offset.epoch for each in written}):
                for pack in packed([each for each in written if each.offset.epoch == epoch]):
                    db.execute(
                        "INSERT INTO packs VALUES (?, ?, ?, ?, ?)", (key, pack.first, pack.last, epoch, pack.data)
                    )
        db.execute("PRAGMA user_version = 2")
