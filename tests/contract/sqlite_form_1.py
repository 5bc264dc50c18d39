"""A SQLite file of form 1, which has a row for each entry, as earlier versions wrote it."""

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from headwater.entries import Entry
from headwater.log.store import lost_ending
from headwater.testing.contract_harness import TTL, WHOLE, entry, run

SCHEMA = """
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
CREATE TABLE logs (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, name TEXT, ttl REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'open', epoch INTEGER NOT NULL DEFAULT 1, last INTEGER NOT NULL DEFAULT 0,
    size INTEGER NOT NULL DEFAULT 0, beat INTEGER NOT NULL DEFAULT 0, stop TEXT, opened REAL NOT NULL,
    sealed REAL NOT NULL DEFAULT 0, expires REAL
);
CREATE INDEX logs_open ON logs (id) WHERE state = 'open';
CREATE INDEX logs_expires ON logs (expires) WHERE expires IS NOT NULL;
CREATE TABLE subjects (log INTEGER, subject TEXT, PRIMARY KEY (log, subject)) WITHOUT ROWID;
CREATE TABLE names (name TEXT PRIMARY KEY, log INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX names_log ON names (log);
CREATE TABLE entries (
    log INTEGER, sequence INTEGER, epoch INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (log, sequence)
) WITHOUT ROWID;
CREATE TABLE tombstones (log TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE constants (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
"""

LOGS: dict[str, tuple[str, list[Entry]]] = {
    "whole": ("finished", [*run(*(f"word {i}" for i in range(700))), entry(701, WHOLE)]),
    "large": ("finished", [*run(*(str(i) * 50_000 for i in range(10))), entry(11, WHOLE)]),
    "lost": ("lost", [*run("a", "b", "c"), lost_ending(1, 3, 0.5)]),
    "open": ("open", run("a", "b", "c")),
    "new": ("open", []),
}
"""The state and entries of each log in the file. The name `name` is bound to `whole`, `live` to `open`."""


def form_1(path: Path, logs: dict[str, tuple[str, list[Entry]]] = LOGS) -> None:
    """Create the file."""
    now = time.time()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(SCHEMA)
        db.execute("BEGIN")
        for key, (log, (state, written)) in enumerate(logs.items(), 1):
            epoch, last = written[-1].offset if written else (1, 0)
            ended = (0.0, None) if state == "open" else (now, now + TTL + 600)
            size = sum(len(each.data) for each in written)
            row = (key, log, "acme", "name", TTL, state, epoch, last, size, 1, None, now, *ended)
            db.execute(f"INSERT INTO logs VALUES ({', '.join('?' * len(row))})", row)
            db.executemany("INSERT INTO entries VALUES (?, ?, ?, ?)", _rows(key, written))
            if state == "open":
                db.execute("INSERT INTO subjects VALUES (?, 'alice')", (key,))
        db.execute("INSERT INTO names SELECT 'name', key FROM logs WHERE id = 'whole'")
        db.execute("INSERT INTO names SELECT 'live', key FROM logs WHERE id = 'open'")
        db.execute("INSERT INTO tombstones VALUES ('gone', ?)", (now + 1000,))
        db.execute("INSERT INTO constants VALUES ('secret', X'00FF')")
        db.execute("COMMIT")


def _rows(key: int, written: Sequence[Entry]) -> list[tuple[int, int, int, bytes]]:
    return [(key, each.offset.sequence, each.offset.epoch, each.data) for each in written]
