"""The store contract as steps over the tables of one SQLite connection, each to be run inside a transaction.

Nothing here waits, commits or knows a thread: a step reads the rows, decides, and writes. `memory.py` says the same
with dictionaries.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple

from headwater.errors import Expired, Fenced, LogFull, NoSuchLog, OutOfSequence, Sealed
from headwater.events import Ending, Entry, State, is_admissible, state_after
from headwater.log.packs import Pack, packed
from headwater.log.sqlite.many import append_many
from headwater.log.sqlite.packs import between, insert
from headwater.log.store import Claim, Description, Lease, Limits, Receipt, check_offset, lost_ending
from headwater.offsets import ORIGIN, Offset
from headwater.principal import Principal

PAGE = 512
ROOM = 256 * 1024
"""Bytes of packs looked at for a page, or one pack if that is larger: other readers wait for the same thread."""
SWEEP = 20
"""Logs deleted in one transaction: a large one takes tens of milliseconds, and everyone's writes wait for it."""


class Row(NamedTuple):
    """A log as its row in the table tells."""

    key: int
    id: str
    tenant: str
    name: str | None
    ttl: float
    state: State
    epoch: int
    last: int
    size: int
    beat: int
    stop: str | None
    opened: float
    sealed: float
    expires: float | None

    @property
    def end(self) -> Offset:
        """The offset of the last entry."""
        return Offset(self.epoch, self.last) if self.last else ORIGIN


class Pulse(NamedTuple):
    """What changes about an open log, to be watched from outside."""

    epoch: int
    beat: int
    last: int
    stop: str | None


class Page(NamedTuple):
    """Some entries of a log, and whether the log was sealed when they were read."""

    entries: Sequence[Entry]
    sealed: bool


_COLUMNS = ", ".join(f"logs.{column}" for column in Row._fields)


class Rows:
    """The tables of one connection. Its methods raise what the contract says, and `sqlite3.Error`."""

    def __init__(self, db: sqlite3.Connection, limits: Limits, clock: Callable[[], float]) -> None:
        self.db = db
        self._limits = limits
        self._clock = clock

    def claim(
        self,
        name: str,
        log: str,
        principal: Principal,
        *,
        ttl: float,
        newer_than: float | None = None,
        binds: str | None = None,
    ) -> Claim:
        """Bind the name to a new log, unless it is bound to one that will do."""
        bound = self.find(name, principal, newer_than=newer_than)
        if bound is not None:
            # The winner, whose answer got lost on the way, asks again.
            again = bound.log == log and bound.state == "open"
            return Claim(log, won=True, lease=Lease(log)) if again else bound
        lease = self.open(log, principal, ttl=ttl, name=binds or name)
        self.db.execute("INSERT OR REPLACE INTO names SELECT ?, key FROM logs WHERE id = ?", (name, log))
        return Claim(log, won=True, lease=lease)

    def find(self, name: str, principal: Principal, *, newer_than: float | None = None) -> Claim | None:
        """The log that will do for this name, which the principal then joins."""
        held = self._row("names JOIN logs ON logs.key = names.log", "names.name = ?", name)
        if held is None:
            return None
        if held.state != "open":
            age = self._age(held)
            # A name outlives neither its TTL nor the patience of the caller.
            if age >= held.ttl or (newer_than is not None and age > newer_than):
                return None
            return Claim(held.id, won=False, state=held.state, age=age, ttl=held.ttl - age)
        if held.stop is not None:
            return None
        self.db.execute("INSERT OR IGNORE INTO subjects VALUES (?, ?)", (held.key, principal.subject))
        return Claim(held.id, won=False)

    def open(self, log: str, principal: Principal, *, ttl: float, name: str | None = None) -> Lease:
        """Open a log; one that is open under this id already is the caller's own, who asks again."""
        try:
            held = self._get(log)
        except NoSuchLog:
            made = self.db.execute(
                "INSERT INTO logs (id, tenant, name, ttl, opened) VALUES (?, ?, ?, ?, ?)",
                (log, principal.tenant, name, ttl, self._clock()),
            )
            self.db.execute("INSERT INTO subjects VALUES (?, ?)", (made.lastrowid, principal.subject))
        else:
            if held.state != "open":
                raise Sealed.of(log, held.state)
        return Lease(log)

    def append(self, entries: Sequence[Entry], lease: Lease) -> Receipt:
        """Append what is not stored yet, and let the log's counter rise."""
        held = self._writable(lease)
        fresh = self._fresh(held, entries)
        last = fresh[-1].last if fresh else held.last
        size = held.size + sum(pack.size for pack in fresh)
        if last > self._limits.entries or size > self._limits.bytes:
            raise LogFull.of(held.id, self._limits.entries, self._limits.bytes)
        insert(self.db, held.key, lease.epoch, fresh)
        self.db.execute("UPDATE logs SET beat = beat + 1, last = ?, size = ? WHERE key = ?", (last, size, held.key))
        return Receipt(stop=held.stop)

    def append_many(self, appends: Sequence[tuple[Sequence[Entry], Lease]]) -> bool:
        """All these appends at once; False, with some of them perhaps done, when they have to be done one by one."""
        return append_many(self.db, self._limits, appends)

    def seal(self, entries: Sequence[Entry], lease: Lease) -> None:
        """Append the last entries and close the log."""
        held = self._get(lease.log)
        if held.state != "open" and entries[-1].offset == held.end and entries[-1].data == self._last(held):
            return
        held = self._writable(lease)
        fresh = self._fresh(held, entries)
        if not fresh:
            raise OutOfSequence.gap(held.id, held.last)
        insert(self.db, held.key, lease.epoch, fresh)
        self._close(held, entries[-1])

    def seal_lost(self, log: str, epoch: int, beat: int) -> bool:
        """Seal a log whose lease has lapsed, unless its writer has come back or somebody was faster."""
        held = self._row("logs", "logs.id = ?", log)
        if held is None or (held.state, held.epoch, held.beat) != ("open", epoch, beat):
            return False
        ending = lost_ending(held.epoch, held.last, max(self._clock() - held.opened, 0.0))
        insert(self.db, held.key, ending.offset.epoch, packed([ending]))
        self._close(held, ending)
        return True

    def page(self, log: str, after: Offset) -> Page:
        """The next entries after an offset, at most `PAGE`, from about `ROOM` bytes."""
        held = self._get(log)
        check_offset(after, held.state, held.epoch, held.end)
        # Only a log's last entry can be of a later epoch than its first; sequences decide among the others.
        begin = after.sequence if after.epoch == held.epoch else min(after.sequence, held.last - 1)
        begin = begin if after.epoch else 0
        found: list[Entry] = []
        if begin < held.last:
            for epoch, pack in between(self.db, held.key, begin + 1, min(begin + PAGE, held.last), ROOM):
                found += pack.entries(epoch, begin, PAGE - len(found))
        return Page(found, held.state != "open")

    def stop(self, log: str, subject: str) -> bool:
        """Take the subject off the log; note who asked for the end when nobody else remains."""
        held = self._get(log)
        self.db.execute("DELETE FROM subjects WHERE log = ? AND subject = ?", (held.key, subject))
        if held.state != "open":
            return True
        if self.db.execute("SELECT 1 FROM subjects WHERE log = ?", (held.key,)).fetchone() is not None:
            return False
        self.db.execute("UPDATE logs SET stop = coalesce(stop, ?) WHERE key = ?", (subject, held.key))
        return True

    def describe(self, log: str) -> Description:
        """What is known of a log without reading it."""
        held = self._get(log)
        return Description(log, held.tenant, held.state, held.end, self._age(held))

    def forget(self, log: str) -> None:
        """Delete a log, its entries and its name, and remember that it was."""
        self._bury(self._get(log), self._clock() + self._limits.tombstone)

    def constant(self, name: str, value: bytes) -> bytes:
        """Keep a value unless one is kept; tell which."""
        self.db.execute("INSERT OR IGNORE INTO constants VALUES (?, ?)", (name, value))
        kept: tuple[bytes] = self.db.execute("SELECT value FROM constants WHERE name = ?", (name,)).fetchone()
        return kept[0]

    def check(self) -> None:
        """Read a table; the transaction around this step has taken the right to write already."""
        self.db.execute("SELECT 1 FROM constants LIMIT 1").fetchone()

    def pulses(self) -> dict[str, Pulse]:
        """Every open log's pulse, by its id."""
        found = self.db.execute("SELECT id, epoch, beat, last, stop FROM logs WHERE state = 'open'")
        return {log: Pulse(*pulse) for log, *pulse in found}

    def sweep(self) -> bool:
        """Delete some of what has expired, and tell whether there may be more."""
        now = self._clock()
        query = f"SELECT {_COLUMNS} FROM logs WHERE expires <= ? LIMIT {SWEEP}"  # noqa: S608 - no one's words
        gone = [Row(*row) for row in self.db.execute(query, (now,)).fetchall()]
        for held in gone:
            self._bury(held, (held.expires or now) + self._limits.tombstone)
        self.db.execute("DELETE FROM tombstones WHERE until <= ?", (now,))
        return len(gone) == SWEEP

    def _get(self, log: str) -> Row:
        held = self._row("logs", "logs.id = ?", log)
        now = self._clock()
        if held is not None and (held.expires is None or held.expires > now):
            return held
        if held is not None:
            remembered = (held.expires or 0) + self._limits.tombstone > now
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

    def _age(self, held: Row) -> float:
        return 0.0 if held.state == "open" else max(self._clock() - held.sealed, 0.0)

    def _writable(self, lease: Lease) -> Row:
        held = self._get(lease.log)
        if held.epoch != lease.epoch:
            raise Fenced.of(held.id, held.epoch)
        if held.state != "open":
            raise Sealed.of(held.id, held.state)
        return held

    def _fresh(self, held: Row, entries: Sequence[Entry]) -> list[Pack]:
        """The entries not stored yet; those that are stored are a retry, acknowledged again."""
        known = max(held.last + 1 - entries[0].offset.sequence, 0) if entries else 0
        fresh = packed(entries[known:])
        if fresh and fresh[0].first != held.last + 1:
            raise OutOfSequence.gap(held.id, held.last)
        if known:
            again = packed(entries[:known])
            first, last = again[0].first, again[-1].last
            stored = [line for _, pack in between(self.db, held.key, first, last) for line in pack.lines(first - 1)]
            if stored[: last + 1 - first] != [line for pack in again for line in pack.lines()]:
                raise OutOfSequence.taken(held.id, first)
        return fresh

    def _last(self, held: Row) -> bytes:
        return between(self.db, held.key, held.last, held.last)[-1][1].lines()[-1]

    def _close(self, held: Row, last: Entry) -> None:
        ending = last.event
        assert isinstance(ending, Ending)
        now = self._clock()
        self.db.execute(
            "UPDATE logs SET state = ?, epoch = ?, last = ?, sealed = ?, expires = ? WHERE key = ?",
            (state_after(ending), *last.offset, now, now + held.ttl + self._limits.grace, held.key),
        )
        self.db.execute("DELETE FROM subjects WHERE log = ?", (held.key,))
        if is_admissible(ending) and held.name is not None:
            self.db.execute("INSERT OR REPLACE INTO names VALUES (?, ?)", (held.name, held.key))
        else:
            self._free_names(held)

    def _bury(self, held: Row, until: float) -> None:
        self._free_names(held)
        self.db.execute("INSERT OR REPLACE INTO tombstones VALUES (?, ?)", (held.id, until))
        self.db.execute("DELETE FROM packs WHERE log = ?", (held.key,))
        self.db.execute("DELETE FROM subjects WHERE log = ?", (held.key,))
        self.db.execute("DELETE FROM logs WHERE key = ?", (held.key,))

    def _free_names(self, held: Row) -> None:
        self.db.execute("DELETE FROM names WHERE log = ?", (held.key,))
