"""Documents as rows of a SQLite table; each step runs inside a transaction of `rows.py`."""

from collections.abc import Callable, Sequence
from contextlib import closing

from headwater.errors import Conflict
from headwater.log.sqlite.connection import StoreConnection
from headwater.log.store import DOCUMENT_BYTES, Document
from headwater.log.store import DOCUMENTS as PAGE

DOCUMENTS = """
CREATE TABLE IF NOT EXISTS documents
    (name TEXT PRIMARY KEY, version INTEGER NOT NULL, until REAL NOT NULL, value BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS documents_until ON documents (until)"""
"""Added without a new version of the file: servers that do not know the table can share it."""

SWEEP_DOCUMENTS = 100
"""Documents deleted in one transaction, for which all writes wait."""


def _row(name: str, collection: str) -> str:
    """The name of a document's row: in the default collection its own, as servers without collections have it.

    The rows of a collection begin alike, no other row begins so, and they are in the order of their names.
    """
    return f"\0{len(collection)}:{collection}\0{name}" if collection or name.startswith("\0") else name


class DocumentRows:
    """The documents of one connection; `clock` gives wall time in seconds."""

    def __init__(self, db: StoreConnection, clock: Callable[[], float]) -> None:
        self.db = db
        self._clock = clock

    def get(self, name: str, collection: str = "") -> Document | None:
        """The document of this name, unless it has expired."""
        query = "SELECT value, version FROM documents WHERE name = ? AND until > ?"
        found = self.db.execute(query, (_row(name, collection), self._clock())).fetchone()
        return None if found is None else Document(*found)

    def put(self, name: str, value: bytes, ttl: float, version: int | None, collection: str = "") -> Document | None:
        """Keep a document, and return the one that it replaced. Raises `Conflict`."""
        old = self.get(name, collection)
        current = old.version if old else 0
        if version is not None and version != current:
            raise Conflict.of(name, version, current)
        self.db.execute(
            "INSERT OR REPLACE INTO documents (name, value, version, until) VALUES (?, ?, ?, ?)",
            (_row(name, collection), value, current + 1, self._clock() + ttl),
        )
        return old

    def delete(self, name: str, collection: str) -> None:
        """Forget a document, if there is one."""
        self.db.execute("DELETE FROM documents WHERE name = ?", (_row(name, collection),))

    def list_documents(self, collection: str, after: str) -> Sequence[tuple[str, Document]]:
        """A page of a collection, behind the name `after`."""
        begin, end = _range(collection)
        # The plus keeps SQLite from the index by time, for which it would have to sort the whole collection.
        query = "SELECT name, value, version FROM documents WHERE name > ? AND name < ? AND +until > ? ORDER BY name"
        page: list[tuple[str, Document]] = []
        size = 0
        with closing(self.db.execute(query, (begin + after, end, self._clock()))) as found:
            for name, value, version in found:
                size += len(value)
                if page and (size > DOCUMENT_BYTES or len(page) == PAGE):
                    break
                page.append((name[len(begin) :], Document(value, version)))
        return page

    def renew_documents(self, collection: str, ttl: float) -> None:
        """Keep all documents of a collection for so many seconds; with 0 they are left to the sweep."""
        now = self._clock()
        renew = "UPDATE documents SET until = ? WHERE name > ? AND name < ? AND +until > ?"
        self.db.execute(renew, (now + ttl, *_range(collection), now))

    def sweep_documents(self) -> bool:
        """Delete some of what has expired; returns whether there may be more."""
        some = "DELETE FROM documents WHERE rowid IN (SELECT rowid FROM documents WHERE until <= ? LIMIT ?)"
        return self.db.execute(some, (self._clock(), SWEEP_DOCUMENTS)).rowcount == SWEEP_DOCUMENTS


def _range(collection: str) -> tuple[str, str]:
    begin = _row("", collection)
    return begin, begin[:-1] + "\1"
