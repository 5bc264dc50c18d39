"""The file of a `SqliteStore`: its schema, how it is opened, and what SQLite's errors mean.

The file and its folder are readable by their owner alone, because they hold people's conversations. The file must be
on a local disk: the WAL shares memory between processes, which no network file system provides.
"""

import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from headwater.errors import StoreError
from headwater.log.sqlite.connection import StoreConnection, create, identity
from headwater.log.sqlite.documents import DOCUMENTS
from headwater.log.sqlite.packs import PACKS
from headwater.log.sqlite.upgrade import from_form_1

VERSION = 3
"""Of the schema below. A file of an earlier version is converted; one of a later version is refused."""

BUSY_TIMEOUT = 2.0
"""Seconds to wait for another process's transaction; less than half of `Flush.retry_for`, so that writers try twice."""

OPENINGS = 3
"""Attempts to open a file that is replaced meanwhile."""

READERS = "CREATE TABLE IF NOT EXISTS readers (log INTEGER PRIMARY KEY, until REAL NOT NULL)"
"""Until when, by the wall clock, other processes count as reading a log. Added without a new version, because servers
that do not know the table can share the file: their marks are missing, and their readers hear of entries later."""

COUNTERS = """
CREATE TABLE IF NOT EXISTS counters
    (owner TEXT, kind INTEGER, name TEXT, until REAL, used REAL, PRIMARY KEY (owner, kind, name)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS counters_until ON counters (until)"""
"""Kind 0: what is used of a window that ends then; kind 1: the holder of a slot. Added without a new version."""

_FORGET = "BEGIN DELETE FROM recoveries WHERE log = old.key; END"
RECOVERIES = f"""
CREATE TABLE IF NOT EXISTS recoveries (log INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TRIGGER IF NOT EXISTS recoveries_ended AFTER UPDATE OF state ON logs {_FORGET};
CREATE TRIGGER IF NOT EXISTS recoveries_gone AFTER DELETE ON logs {_FORGET}"""
"""What successors of the writers of open logs need. Triggers delete it, so that servers of an earlier version, which do
not know the table, leave nothing in it, and an answer without a recovery costs no further statement."""

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS logs (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    name TEXT,                          -- bound to this log when it is sealed admissibly
    ttl REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'open',
    epoch INTEGER NOT NULL DEFAULT 1,
    last INTEGER NOT NULL DEFAULT 0,    -- sequence of the last entry
    size INTEGER NOT NULL DEFAULT 0,    -- bytes of all entries
    beat INTEGER NOT NULL DEFAULT 0,    -- rises with every append: a lease lapses when it stands still
    stop TEXT,                          -- the subject who requested a stop
    opened REAL NOT NULL,
    sealed REAL NOT NULL DEFAULT 0,
    expires REAL,                       -- null while open
    owner INTEGER NOT NULL DEFAULT 0    -- the process that writes it; 0: unknown, -1: it has given it up
);
CREATE INDEX IF NOT EXISTS logs_open ON logs (id) WHERE state = 'open';
CREATE INDEX IF NOT EXISTS logs_expires ON logs (expires) WHERE expires IS NOT NULL;
CREATE TABLE IF NOT EXISTS subjects (log INTEGER, subject TEXT, PRIMARY KEY (log, subject)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS names (name TEXT PRIMARY KEY, log INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS names_log ON names (log);
{PACKS};
{RECOVERIES};
CREATE TABLE IF NOT EXISTS tombstones (log TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS constants (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
{READERS};
{DOCUMENTS};
{COUNTERS};
PRAGMA user_version = {VERSION};
"""

_PLAIN = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_BUSY: "another process keeps it locked",
    sqlite3.SQLITE_LOCKED: "another process keeps it locked",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_IOERR: "the disk failed",
    sqlite3.SQLITE_CORRUPT: "it is damaged",
    sqlite3.SQLITE_NOTADB: "it is not a store of Headwater's",
}


def primary_code(error: sqlite3.Error) -> int:
    """The primary result code of a failure, without SQLite's extended codes."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def explain(path: Path, error: sqlite3.Error) -> StoreError:
    """A store error in plain words for one of SQLite's."""
    return StoreError(f"the store {path} failed: {_PLAIN.get(primary_code(error), 'SQLite refused')} ({error})")


def open_file(path: Path) -> StoreConnection:
    """Open the store's file, creating it if it is missing. Raises `StoreError`. Blocks: call it in a thread."""
    for _ in range(OPENINGS):
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            create(path)
        except OSError as error:
            other = "HEADWATER_DATA_DIR or HEADWATER_STORE can name another place"
            raise StoreError(f"the store {path} cannot be opened: {error.strerror}; {other}") from error
        before = identity(path)
        try:
            db = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, factory=StoreConnection)
        except sqlite3.Error as error:
            raise explain(path, error) from error
        try:
            _prepare(db, path)
        except BaseException:
            db.close()
            raise
        db.identify(path)
        if before == identity(path):
            return db
        db.close()  # which of two files it has open is not known
    raise StoreError(f"the store {path} cannot be opened: it is being replaced all the time")


@contextmanager
def transaction(db: sqlite3.Connection) -> Generator[None]:
    """A transaction that takes the write lock at its beginning; rolls back when its body raises."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    give_up = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            if _version(db, path) == 0:
                db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # has an effect on an empty file only
            mode: str = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise StoreError(f"the store {path} must lie on a local disk: SQLite's WAL does not work there")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA journal_size_limit = 16777216")
            version = _version(db, path)
            if version < VERSION:
                with transaction(db):
                    _shape(db, _version(db, path))
            if db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'readers'").fetchone() is None:
                db.execute(READERS)
            for statements, last in ((DOCUMENTS, "documents_until"), (COUNTERS, "counters_until")):
                if db.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (last,)).fetchone() is None:
                    for statement in statements.split(";\n"):
                        db.execute(statement)
            if 0 < version < VERSION:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the WAL holds everything that was converted
            return
        except sqlite3.Error as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            # Processes that start together collide over the change to WAL, where SQLite's busy timeout does not apply.
            if primary_code(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) or time.monotonic() > give_up:
                raise explain(path, error) from error
            time.sleep(0.01)


def _shape(db: sqlite3.Connection, version: int) -> None:
    if version == VERSION:
        return  # another process was faster
    for statement in _SCHEMA.split(";\n"):
        db.execute(statement)
    if version == 1:
        from_form_1(db)
    if version:
        db.execute("ALTER TABLE logs ADD COLUMN owner INTEGER NOT NULL DEFAULT 0")


def _version(db: sqlite3.Connection, path: Path) -> int:
    # One statement, which sees one moment, because another process may be creating the tables.
    found: tuple[int, int] = db.execute(
        "SELECT user_version, EXISTS (SELECT 1 FROM sqlite_schema) FROM pragma_user_version"
    ).fetchone()
    version, used = found
    if version > VERSION:
        raise StoreError(
            f"the store {path} was written by a newer Headwater (its form is {version}, this version knows {VERSION}):"
            " update Headwater, or name another file"
        )
    if version == 0 and used:
        raise StoreError(f"the store {path} is some other program's database; name another file")
    return version
