"""Documents as rows of a SQLite table; each step runs inside a transaction of `rows.py`."""

import sqlite3

from headwater.errors import Conflict
from headwater.log.store import Document

DOCUMENTS = (
    "CREATE TABLE IF NOT EXISTS documents "
    "(name TEXT PRIMARY KEY, value BLOB NOT NULL, version INTEGER NOT NULL, until REAL NOT NULL) WITHOUT ROWID"
)
"""Added without a new version of the file: servers that do not know the table can share it."""


def get(db: sqlite3.Connection, name: str, now: float) -> Document | None:
    """The document of this name, unless it has expired."""
    found = db.execute("SELECT value, version FROM documents WHERE name = ? AND until > ?", (name, now)).fetchone()
    return None if found is None else Document(*found)


def put(
    db: sqlite3.Connection, name: str, value: bytes, time: tuple[float, float], version: int | None
) -> Document | None:
    """Keep the value from now until then, and return the document that it replaced. Raises `Conflict`."""
    now, until = time
    old = get(db, name, now)
    current = old.version if old else 0
    if version is not None and version != current:
        raise Conflict.of(name, version, current)
    db.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?)", (name, value, current + 1, until))
    return old


def delete(db: sqlite3.Connection, name: str) -> None:
    """Forget the document of this name, if there is one."""
    db.execute("DELETE FROM documents WHERE name = ?", (name,))


def sweep(db: sqlite3.Connection, now: float) -> None:
    """Delete what has expired."""
    db.execute("DELETE FROM documents WHERE until <= ?", (now,))
