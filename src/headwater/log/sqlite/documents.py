"""Documents as rows of a SQLite table; each step runs inside a transaction of `rows.py`."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing

from headwater.errors import Conflict
from headwater.log.store import DOCUMENT_BYTES, Document
from headwater.log.store import DOCUMENTS as PAGE

DOCUMENTS = """
CREATE TABLE IF NOT EXISTS documents
    (name TEXT PRIMARY KEY, version INTEGER NOT NULL, until REAL NOT NULL, value BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS documents_until ON documents (until)"""
"""Added without a new version of the file: servers that do not know the table can share it."""

SWEEP_DOCUMENTS = 100
"""Documents deleted in one transaction, for which all writes wait."""


def row(name: str, collection: str) -> str:
    """The name of a document's row: in the default collection its own, as servers without collections have it.

    The rows of a collection begin alike, no other row begins so, and they are in the order of their names.
    """
    return f"\0{len(collection)}:{collection}\0{name}" if collection or name.startswith("\0") else name


def get(db: sqlite3.Connection, row: str, now: float) -> Document | None:
    """The document in this row, unless it has expired."""
    found = db.execute("SELECT value, version FROM documents WHERE name = ? AND until > ?", (row, now)).fetchone()
    return None if found is None else Document(*found)


def put(
    db: sqlite3.Connection, row: str, value: bytes, time: tuple[float, float], version: int | None
) -> Document | None:
    """Keep the value from now until then, and return the document that it replaced. Raises `Conflict`."""
    now, until = time
    old = get(db, row, now)
    current = old.version if old else 0
    if version is not None and version != current:
        raise Conflict.of(row.rpartition("\0")[2], version, current)
    db.execute(
        "INSERT OR REPLACE INTO documents (name, value, version, until) VALUES (?, ?, ?, ?)",
        (row, value, current + 1, until),
    )
    return old


def delete(db: sqlite3.Connection, row: str) -> None:
    """Forget the document in this row, if there is one."""
    db.execute("DELETE FROM documents WHERE name = ?", (row,))


def page(db: sqlite3.Connection, collection: str, after: str, now: float) -> Sequence[tuple[str, Document]]:
    """A page of a collection, behind the name `after`."""
    begin, end = _range(collection)
    # The plus keeps SQLite from the index by time, for which it would have to sort the whole collection.
    query = "SELECT name, value, version FROM documents WHERE name > ? AND name < ? AND +until > ? ORDER BY name"
    page: list[tuple[str, Document]] = []
    size = 0
    with closing(db.execute(query, (begin + after, end, now))) as found:
        for name, value, version in found:
            size += len(value)
            if page and (size > DOCUMENT_BYTES or len(page) == PAGE):
                break
            page.append((name[len(begin) :], Document(value, version)))
    return page


def expire(db: sqlite3.Connection, collection: str, now: float, until: float) -> None:
    """Have all documents of a collection expire then; those that have expired already stay so."""
    renew = "UPDATE documents SET until = ? WHERE name > ? AND name < ? AND +until > ?"
    db.execute(renew, (until, *_range(collection), now))


def _range(collection: str) -> tuple[str, str]:
    begin = row("", collection)
    return begin, begin[:-1] + "\1"


def sweep(db: sqlite3.Connection, now: float) -> bool:
    """Delete some of what has expired; returns whether there may be more."""
    some = "SELECT rowid FROM documents WHERE until <= ? LIMIT ?"
    found = db.execute(f"DELETE FROM documents WHERE rowid IN ({some})", (now, SWEEP_DOCUMENTS))  # noqa: S608 - constant
    return found.rowcount == SWEEP_DOCUMENTS
