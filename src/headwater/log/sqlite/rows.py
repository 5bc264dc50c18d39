"""The store contract as steps over the tables of one SQLite connection; each step runs inside a transaction.

Nothing here waits, commits or knows a thread: a step reads rows, decides, and writes. `memory.py` does the same with
dictionaries.
"""

from collections.abc import Callable, Sequence

from headwater.entries import Entry
from headwater.errors import Expired, Fenced, LogFull, NoSuchLog, OutOfSequence, Sealed
from headwater.events import Ending, is_admissible, state_after
from headwater.log.names import first_of, names_in
from headwater.log.packs import Pack, packed
from headwater.log.sqlite.connection import StoreConnection
from headwater.log.sqlite.documents import DocumentRows
from headwater.log.sqlite.many import append_many
from headwater.log.sqlite.packs import Sizes, between, end_of, insert
from headwater.log.sqlite.row import RELEASED, Lapsed, Page, Pulse, Row
from headwater.log.store import (
    NO_TERMS,
    Abandoned,
    Claim,
    Description,
    Lease,
    Limits,
    Receipt,
    Terms,
    check_offset,
    lost_ending,
    unsealed_ending,
)
from headwater.offsets import Offset
from headwater.principal import LEAVES, Principal

SWEEP_LOGS = 20
"""Logs deleted in one transaction: a large log takes tens of milliseconds, for which all writes wait."""


_NONE: Lapsed = {}
_COLUMNS = ", ".join(f"logs.{column}" for column in Row._fields)


class Rows(DocumentRows):
    """The tables of one connection. Its methods raise what the contract says, and `sqlite3.Error`.

    `lapsed` returns the logs that are known to have lost their writers for good, `owner` this process's number.
    """

    def __init__(
        self,
        db: StoreConnection,
        limits: Limits,
        clock: Callable[[], float],
        sizes: Sizes | None = None,
        lapsed: Callable[[], Lapsed] = lambda: _NONE,
        owner: Callable[[], int] = lambda: 0,
    ) -> None:
        super().__init__(db, clock)
        self._limits = limits
        self._sizes = sizes or Sizes()
        self._lapsed = lapsed
        self._owner = owner

    def claim(self, name: str, log: str, principal: Principal, *, ttl: float, terms: Terms = NO_TERMS) -> Claim:
        """Bind the name to a new log, unless it is bound to one that will do."""
        bound = self.find(name, principal, terms)
        if bound is not None:
            # The winner retries when it did not get its answer.
            again = bound.log == log and bound.state == "open"
            return Claim(log, won=True, lease=Lease(log)) if again else bound
        lease = self.open(log, principal, ttl=ttl, name=terms.binds or name, recovery=terms.recovery)
        binding = "INSERT OR REPLACE INTO names SELECT ?, key FROM logs WHERE id = ?"
        self.db.executemany(binding, [(each, log) for each in names_in(name)])
        return Claim(log, won=True, lease=lease)

    def find(self, name: str, principal: Principal, terms: Terms = NO_TERMS) -> Claim | None:
        """The log that will do for a name, which the principal then joins. One that has lapsed is sealed instead."""
        return first_of(name, lambda each: self._find(each, principal, terms))

    def _find(self, name: str, principal: Principal, terms: Terms) -> Claim | None:
        row = self._bound(name)
        if row is None:
            return None
        if row.state != "open":
            return self._sealed(row, terms)
        if row.stop is not None:
            return None
        if self._is_lapsed(row, self._lapsed()):
            self._seal_lost(row)
            return None
        self.db.execute("INSERT OR IGNORE INTO subjects VALUES (?, ?)", (row.key, principal.subject))
        return Claim(row.id, won=False)

    def find_sealed(self, name: str, terms: Terms = NO_TERMS) -> Claim | None:
        """The sealed log that will do for a name: a hit, which changes nothing and needs no write lock."""
        rows = {each: row for each in names_in(name) if (row := self._bound(each)) is not None}
        if any(row.state == "open" for row in rows.values()):
            return None
        return first_of(name, lambda each: self._sealed(rows[each], terms) if each in rows else None)

    def open(
        self, log: str, principal: Principal, *, ttl: float, name: str | None = None, recovery: bytes | None = None
    ) -> Lease:
        """Open a log; a log of this id that is open already is the caller's own, from an earlier attempt."""
        try:
            row = self._get(log)
        except NoSuchLog:
            made = self.db.execute(
                "INSERT INTO logs (id, tenant, name, ttl, opened, owner) VALUES (?, ?, ?, ?, ?, ?)",
                (log, principal.tenant, name, ttl, self._clock(), self._owner()),
            )
            self.db.execute("INSERT INTO subjects VALUES (?, ?)", (made.lastrowid, principal.subject))
            if recovery is not None:
                self.db.execute("INSERT INTO recoveries VALUES (?, ?)", (made.lastrowid, recovery))
        else:
            if row.state != "open":
                raise Sealed.of(log, row.state)
        return Lease(log)

    def append(self, entries: Sequence[Entry], lease: Lease) -> Receipt:
        """Append what is not stored yet, and count up the log's `beat`."""
        row = self._writable(lease)
        fresh = self._unstored(row, entries)
        last = fresh[-1].last if fresh else row.last
        size = row.size + sum(pack.size for pack in fresh)
        if last > self._limits.entries or size > self._limits.bytes:
            raise LogFull.of(row.id, self._limits.entries, self._limits.bytes)
        insert(self.db, row.key, lease.epoch, fresh)
        self.db.execute("UPDATE logs SET beat = beat + 1, last = ?, size = ? WHERE key = ?", (last, size, row.key))
        return Receipt(stop=row.stop, readers=row.id in self.read_elsewhere())

    def append_many(self, appends: Sequence[tuple[Sequence[Entry], Lease]]) -> bool:
        """Append to several logs at once. When False, some may have been done: roll back, and repeat one by one."""
        return append_many(self.db, self._limits, appends)

    def seal(self, entries: Sequence[Entry], lease: Lease) -> None:
        """Append the last entries and close the log."""
        row = self._get(lease.log)
        if row.state != "open" and entries[-1].offset == row.end and entries[-1].data == self._last(row):
            return
        row = self._writable(lease)
        fresh = self._unstored(row, entries)
        if not fresh:
            raise OutOfSequence.gap(row.id, row.last)
        insert(self.db, row.key, lease.epoch, fresh)
        self._close(row, entries[-1])

    def seal_lost(self, log: str, epoch: int, beat: int) -> bool:
        """Seal a log whose lease has lapsed, unless its writer has come back or another process was faster."""
        row = self._row("logs", "logs.id = ?", log)
        if row is None or not self._is_lapsed(row, {log: (epoch, beat)}):
            return False
        self._seal_lost(row)
        return True

    def release(self, lease: Lease) -> None:
        """Leave a log to a successor; one without a recovery has none, and ends at once."""
        row = self._writable(lease)
        if self._recovery(row) is None:
            self._seal_lost(row)
        else:
            self.db.execute("UPDATE logs SET owner = ? WHERE key = ?", (RELEASED, row.key))

    def recoverable(self, log: str) -> bool:
        """Whether there is a recovery of a log."""
        query = "SELECT 1 FROM recoveries JOIN logs ON logs.key = recoveries.log WHERE logs.id = ?"
        return self.db.execute(query, (log,)).fetchone() is not None

    def abandoned(self, log: str, abandoned: Lapsed) -> Abandoned | None:
        """What a successor needs, if a log was released, or is one of the `abandoned`."""
        row = self._get(log)
        recovery = self._recovery(row) if self._is_abandoned(row, abandoned) else None
        if recovery is None:
            return None
        return Abandoned(log, row.epoch, row.last, recovery, row.stop, self._elapsed(row))

    def take_over(self, entries: Sequence[Entry], log: str, abandoned: Lapsed) -> Lease:
        """Append the first entries of the next epoch to such a log, which is this process's from then on."""
        row = self._get(log)
        if row.state != "open":
            raise Sealed.of(log, row.state)
        epoch = row.epoch + 1
        if not self._is_abandoned(row, abandoned) or entries[0].offset.epoch != epoch:
            raise Fenced.of(log, row.epoch)
        fresh = packed(entries, self._sizes.pack)
        if fresh[0].first != row.last + 1:
            raise OutOfSequence.gap(log, row.last)
        insert(self.db, row.key, epoch, fresh)
        size = row.size + sum(pack.size for pack in fresh)
        self.db.execute(
            "UPDATE logs SET epoch = ?, beat = beat + 1, last = ?, size = ?, owner = ? WHERE key = ?",
            (epoch, fresh[-1].last, size, self._owner(), row.key),
        )
        if isinstance(entries[-1].event, Ending):
            self._close(row, entries[-1])
        return Lease(log, epoch)

    def page(self, log: str, after: Offset, unsealed: Lapsed = _NONE) -> Page:
        """The next entries after an offset: one page at most. Behind the last one of an `unsealed` log is its end."""
        row = self._get(log)
        check_offset(after, row.state, row.epoch, row.end)
        begin = after.sequence if after.epoch == row.epoch else end_of(self.db, row.key, after)
        found: list[Entry] = []
        if begin < row.last:
            most = self._sizes.page
            for epoch, pack in between(self.db, row.key, begin + 1, min(begin + most, row.last), self._sizes.read):
                found += pack.entries(epoch, begin, most - len(found))
        elif self._is_lapsed(row, unsealed):
            found.append(unsealed_ending(row.epoch, row.last, self._elapsed(row)))
        return Page(found, row.state != "open")

    def stop(self, log: str, subject: str) -> bool:
        """Take a subject off a log; record that it requested a stop when no other subject remains."""
        row = self._get(log)
        if subject == LEAVES:
            self.db.execute("DELETE FROM subjects WHERE log = ? AND substr(subject, -1) = ?", (row.key, LEAVES))
        else:
            taken = (row.key, subject, subject + LEAVES)
            self.db.execute("DELETE FROM subjects WHERE log = ? AND subject IN (?, ?)", taken)
        if row.state != "open":
            return True
        if self.db.execute("SELECT 1 FROM subjects WHERE log = ?", (row.key,)).fetchone() is not None:
            return False
        self.db.execute("UPDATE logs SET stop = coalesce(stop, ?) WHERE key = ?", (subject, row.key))
        return True

    def describe(self, log: str) -> Description:
        """What is known of a log without reading it."""
        row = self._get(log)
        return Description(log, row.tenant, row.state, row.end, self._age(row))

    def forget(self, log: str) -> None:
        """Delete a log, its entries and its names, and leave a tombstone."""
        self._bury(self._get(log), self._clock() + self._limits.tombstone)

    def constant(self, name: str, value: bytes) -> bytes:
        """Keep a value unless one is kept already; returns the one that is kept."""
        self.db.execute("INSERT OR IGNORE INTO constants VALUES (?, ?)", (name, value))
        return self.kept(name) or value

    def kept(self, name: str) -> bytes | None:
        """The value that is kept under a name."""
        found: tuple[bytes] | None
        found = self.db.execute("SELECT value FROM constants WHERE name = ?", (name,)).fetchone()
        return found[0] if found else None

    def check(self) -> None:
        """Read a table; the transaction around this step has already taken the write lock."""
        self.db.execute("SELECT 1 FROM constants LIMIT 1").fetchone()

    def read_elsewhere(self) -> set[str]:
        """The logs that a process marks as read by it; mostly none, seldom many."""
        query = "SELECT logs.id FROM readers JOIN logs ON logs.key = readers.log WHERE readers.until > ?"
        return {log for (log,) in self.db.execute(query, (self._clock(),))}

    def mark_as_read(self, logs: Sequence[str], seconds: float) -> None:
        """Mark open logs as read by this process for some seconds."""
        mark = "INSERT OR REPLACE INTO readers SELECT key, ? FROM logs WHERE id = ? AND state = 'open'"
        self.db.executemany(mark, [(self._clock() + seconds, log) for log in logs])

    def pulses(self) -> dict[str, Pulse]:
        """The pulse of every open log, by its id."""
        read = self.read_elsewhere()
        found = self.db.execute("SELECT id, epoch, beat, last, stop, owner FROM logs WHERE state = 'open'")
        return {row[0]: Pulse(*row[1:], read=row[0] in read) for row in found}

    def sweep(self) -> bool:
        """Delete some of what has expired; returns whether there may be more."""
        now = self._clock()
        query = f"SELECT {_COLUMNS} FROM logs WHERE expires <= ? LIMIT {SWEEP_LOGS}"  # noqa: S608 - all constants
        expired = [Row(*columns) for columns in self.db.execute(query, (now,)).fetchall()]
        for row in expired:
            self._bury(row, (row.expires or now) + self._limits.tombstone)
        self.db.execute("DELETE FROM tombstones WHERE until <= ?", (now,))
        return self.sweep_documents() or len(expired) == SWEEP_LOGS

    def _get(self, log: str) -> Row:
        row = self._row("logs", "logs.id = ?", log)
        now = self._clock()
        if row is not None and (row.expires is None or row.expires > now):
            return row
        if row is not None:
            remembered = (row.expires or 0) + self._limits.tombstone > now
        else:
            query = "SELECT 1 FROM tombstones WHERE log = ? AND until > ?"
            remembered = self.db.execute(query, (log, now)).fetchone() is not None
        if remembered:
            raise Expired.of(log)
        raise NoSuchLog.of(log)

    def _row(self, table: str, condition: str, value: str) -> Row | None:
        query = f"SELECT {_COLUMNS} FROM {table} WHERE {condition}"  # noqa: S608 - both are written in this file
        found = self.db.execute(query, (value,)).fetchone()
        return None if found is None else Row(*found)

    def _bound(self, name: str) -> Row | None:
        return self._row("names JOIN logs ON logs.key = names.log", "names.name = ?", name)

    def _sealed(self, row: Row, terms: Terms) -> Claim | None:
        age = self._age(row)
        if age >= row.ttl + min(terms.stale, self._limits.grace):
            return None
        if terms.newer_than is not None and age > terms.newer_than:
            return None
        return Claim(row.id, won=False, state=row.state, age=age, ttl=row.ttl - age)

    def _age(self, row: Row) -> float:
        return 0.0 if row.state == "open" else max(self._clock() - row.sealed, 0.0)

    def _elapsed(self, row: Row) -> float:
        return max(self._clock() - row.opened, 0.0)

    def _is_lapsed(self, row: Row, lapsed: Lapsed) -> bool:
        return row.state == "open" and lapsed.get(row.id) == (row.epoch, row.beat)

    def _is_abandoned(self, row: Row, abandoned: Lapsed) -> bool:
        return row.state == "open" and (row.owner == RELEASED or self._is_lapsed(row, abandoned))

    def _recovery(self, row: Row) -> bytes | None:
        found: tuple[bytes] | None
        found = self.db.execute("SELECT data FROM recoveries WHERE log = ?", (row.key,)).fetchone()
        return found[0] if found else None

    def _seal_lost(self, row: Row) -> None:
        ending = lost_ending(row.epoch, row.last, self._elapsed(row))
        insert(self.db, row.key, ending.offset.epoch, packed([ending]))
        self._close(row, ending)

    def _writable(self, lease: Lease) -> Row:
        row = self._get(lease.log)
        if row.epoch != lease.epoch:
            raise Fenced.of(row.id, row.epoch)
        if row.state != "open":
            raise Sealed.of(row.id, row.state)
        return row

    def _unstored(self, row: Row, entries: Sequence[Entry]) -> list[Pack]:
        """Packs of the entries not stored yet. Stored ones are a retry, and must be the same; else `OutOfSequence`."""
        known = max(row.last + 1 - entries[0].offset.sequence, 0) if entries else 0
        fresh = packed(entries[known:], self._sizes.pack)
        if fresh and fresh[0].first != row.last + 1:
            raise OutOfSequence.gap(row.id, row.last)
        if known:
            again = packed(entries[:known])
            first, last = again[0].first, again[-1].last
            stored = [line for _, pack in between(self.db, row.key, first, last) for line in pack.lines(first - 1)]
            if stored[: last + 1 - first] != [line for pack in again for line in pack.lines()]:
                raise OutOfSequence.taken(row.id, first)
        return fresh

    def _last(self, row: Row) -> bytes:
        return between(self.db, row.key, row.last, row.last)[-1][1].lines()[-1]

    def _close(self, row: Row, last: Entry) -> None:
        ending = last.event
        assert isinstance(ending, Ending)
        now = self._clock()
        self.db.execute(
            "UPDATE logs SET state = ?, epoch = ?, last = ?, sealed = ?, expires = ? WHERE key = ?",
            (state_after(ending), *last.offset, now, now + row.ttl + self._limits.grace, row.key),
        )
        self.db.execute("DELETE FROM subjects WHERE log = ?", (row.key,))
        self.db.execute("DELETE FROM readers WHERE log = ?", (row.key,))
        if is_admissible(ending) and row.name is not None:
            binding = "INSERT OR REPLACE INTO names VALUES (?, ?)"
            self.db.executemany(binding, [(name, row.key) for name in names_in(row.name)])
        else:
            self._free_names(row)

    def _bury(self, row: Row, until: float) -> None:
        self._free_names(row)
        self.db.execute("INSERT OR REPLACE INTO tombstones VALUES (?, ?)", (row.id, until))
        self.db.execute("DELETE FROM packs WHERE log = ?", (row.key,))
        self.db.execute("DELETE FROM subjects WHERE log = ?", (row.key,))
        self.db.execute("DELETE FROM readers WHERE log = ?", (row.key,))
        self.db.execute("DELETE FROM logs WHERE key = ?", (row.key,))

    def _free_names(self, row: Row) -> None:
        self.db.execute("DELETE FROM names WHERE log = ?", (row.key,))
