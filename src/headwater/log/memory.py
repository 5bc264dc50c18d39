"""The reference store: everything in this process's memory, lost with the process. Read it to learn the contract.

No method but `read` awaits anything, so each is one atomic step of the event loop. Nothing runs in the background:
every call first expires what is due (`_sweep`), and seals the lapsed logs it meets (`_seal_if_lapsed`).
"""

import asyncio
import time
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from headwater.entries import Entry
from headwater.errors import Expired, Fenced, LogFull, NoSuchLog, OutOfSequence, Sealed, StoreError
from headwater.events import Ending, State, is_admissible, state_after
from headwater.log.counters import Tally
from headwater.log.memory_documents import MemoryDocuments
from headwater.log.names import first_of, names_in
from headwater.log.store import (
    NO_TERMS,
    PAGE,
    Abandoned,
    Claim,
    Description,
    Flush,
    Lease,
    Limits,
    Receipt,
    Terms,
    check_offset,
    lost_ending,
)
from headwater.offsets import ORIGIN, Offset
from headwater.principal import LEAVES, Principal


@dataclass
class _Log:
    id: str
    tenant: str
    ttl: float
    name: str | None
    """Bound to this log when it is sealed admissibly."""
    subjects: set[str]
    renewed: float
    """When the lease was renewed last, on the monotonic clock."""
    opened: float
    """When it was opened, on the wall clock, as `sealed` is."""
    epoch: int = 1
    state: State = "open"
    entries: list[Entry] = field(default_factory=list[Entry])
    size: int = 0
    stop: str | None = None
    """The subject who requested a stop."""
    recovery: bytes | None = None
    sealed: float = 0.0
    changed: asyncio.Event | None = None
    """Made by the first reader that waits, set and dropped at the next change."""
    followers: int = 0
    """Readers that have begun to wait for more."""
    listeners: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])

    @property
    def last(self) -> Offset:
        return self.entries[-1].offset if self.entries else ORIGIN

    def wake_readers(self) -> None:
        if self.changed is not None:
            self.changed.set()
            self.changed = None

    def wake_writer(self) -> None:
        for wake in list(self.listeners):
            wake()


class MemoryStore(MemoryDocuments):
    """Keeps logs in memory, for tests and for servers that may forget. Use it from one event loop.

    `clock` gives wall time in seconds, for ages and TTLs; leases run on the monotonic clock, which does not jump.
    """

    def __init__(self, limits: Limits | None = None, clock: Callable[[], float] = time.time) -> None:
        self.limits = limits or Limits()
        # Flushes need not hurry: no other process reads this memory, and what ends this process ends it too.
        self.flush = Flush(interval=1.0, unread_interval=1.0, events=1024, bytes=256 * 1024)
        super().__init__(clock)
        self._logs: dict[str, _Log] = {}
        self._names: dict[str, str] = {}  # the log each name is bound to
        self._tombstones: dict[str, float] = {}  # deleted ids, and until when they are remembered
        self._constants: dict[str, bytes] = {}
        self.take = Tally(clock).take
        self._swept = 0.0
        self._closed = False
        self._found_abandoned: Callable[[str], None] = lambda log: None

    async def claim(self, name: str, log: str, principal: Principal, *, ttl: float, terms: Terms = NO_TERMS) -> Claim:
        bound = await self.find(name, principal, terms=terms)
        if bound is not None:
            # The winner retries when it did not get its answer.
            again = bound.log == log and bound.state == "open"
            return Claim(log, won=True, lease=Lease(log)) if again else bound
        lease = await self.open(log, principal, ttl=ttl, name=terms.binds or name, recovery=terms.recovery)
        self._bind(name, log)
        return Claim(log, won=True, lease=lease)

    async def find(self, name: str, principal: Principal, *, terms: Terms = NO_TERMS) -> Claim | None:
        self._sweep()
        return first_of(name, lambda each: self._find(each, principal, terms))

    def _find(self, name: str, principal: Principal, terms: Terms) -> Claim | None:
        found = self._logs.get(self._names.get(name, ""))
        if found is None:
            return None
        self._seal_if_lapsed(found)
        if found.state == "open":
            if found.stop is not None:
                return None
            found.subjects.add(principal.subject)
            return Claim(found.id, won=False)
        age = self._age(found)
        too_old = age >= found.ttl + min(terms.stale, self.limits.grace)
        too_old = too_old or (terms.newer_than is not None and age > terms.newer_than)
        if too_old or self._names.get(name) != found.id:  # a lapsed log has just lost its name
            return None
        return Claim(found.id, won=False, state=found.state, age=age, ttl=found.ttl - age)

    async def open(
        self, log: str, principal: Principal, *, ttl: float, name: str | None = None, recovery: bytes | None = None
    ) -> Lease:
        try:
            found = self._get(log)
        except NoSuchLog:
            subjects = {principal.subject}
            opened = self._logs[log] = _Log(log, principal.tenant, ttl, name, subjects, time.monotonic(), self._clock())
            opened.recovery = recovery
        else:
            if found.state != "open":
                raise Sealed.of(log, found.state)
        return Lease(log)

    async def append(self, entries: Sequence[Entry], lease: Lease) -> Receipt:
        log = self._writable(lease)
        fresh = self._unstored(log, entries)
        size = sum(len(entry.data) for entry in fresh)
        if len(log.entries) + len(fresh) > self.limits.entries or log.size + size > self.limits.bytes:
            raise LogFull.of(log.id, self.limits.entries, self.limits.bytes)
        log.renewed = time.monotonic()
        if fresh:
            log.entries.extend(fresh)
            log.size += size
            log.wake_readers()
        return Receipt(stop=log.stop, readers=log.followers > 0)

    async def seal(self, entries: Sequence[Entry], lease: Lease) -> None:
        found = self._get(lease.log)
        if found.entries and entries[-1] == found.entries[-1]:
            return  # a retry of the seal that was taken
        log = self._writable(lease)
        fresh = self._unstored(log, entries)
        if not fresh:
            raise OutOfSequence.gap(log.id, len(log.entries))
        log.entries.extend(fresh)
        self._close(log)

    async def release(self, lease: Lease) -> None:
        log = self._writable(lease)
        log.renewed = time.monotonic() - self.limits.lease
        log.wake_readers()
        self._seal_if_lapsed(log)

    async def abandoned(self, log: str) -> Abandoned | None:
        found = self._get(log)
        self._seal_if_lapsed(found)
        if not self._is_lapsed(found) or found.recovery is None:
            return None
        age = self._clock() - found.opened
        return Abandoned(log, found.epoch, len(found.entries), found.recovery, found.stop, age)

    async def take_over(self, entries: Sequence[Entry], log: str) -> Lease:
        found = self._get(log)
        self._seal_if_lapsed(found)
        if found.state != "open":
            raise Sealed.of(log, found.state)
        epoch = found.epoch + 1
        if not self._is_lapsed(found) or entries[0].offset.epoch != epoch:
            raise Fenced.of(log, found.epoch)
        found.entries.extend(self._unstored(found, entries))
        found.epoch, found.renewed = epoch, time.monotonic()
        found.wake_writer()
        if isinstance(entries[-1].event, Ending):
            self._close(found)
        found.wake_readers()
        return Lease(log, epoch)

    def watch_abandoned(self, found: Callable[[str], None]) -> None:
        self._found_abandoned = found

    async def read(
        self, log: str, after: Offset = ORIGIN, *, follow: bool = True
    ) -> AsyncGenerator[Sequence[Entry], None]:
        found = self._get(log)
        self._seal_if_lapsed(found)
        follows = False
        try:
            while True:
                check_offset(after, found.state, found.epoch, found.last)
                begin = bisect_right(found.entries, after, key=lambda entry: entry.offset)
                page = found.entries[begin : begin + PAGE]
                if page:
                    yield page
                    after = page[-1].offset
                elif found.state != "open" or not follow:
                    return
                else:
                    self._get(log)  # raises if it was deleted while its reader was busy: nothing would wake the reader
                    if not follows:
                        follows = True
                        found.followers += 1
                        found.wake_writer()
                    await self._change(found)
                    self._get(log)
        finally:
            found.followers -= follows

    async def stop(self, log: str, subject: str) -> bool:
        found = self._get(log)
        left = {each for each in found.subjects if each.endswith(LEAVES)} if subject == LEAVES else set[str]()
        found.subjects -= left | {subject, subject + LEAVES}
        if found.state != "open":
            return True
        if found.subjects:
            return False
        found.stop = found.stop or subject
        found.wake_writer()
        return True

    def listen(self, lease: Lease, wake: Callable[[], None]) -> Callable[[], None]:
        log = self._get(lease.log)
        log.listeners.append(wake)
        if log.stop is not None:
            wake()
        return lambda: log.listeners.remove(wake)

    async def describe(self, log: str) -> Description:
        found = self._get(log)
        self._seal_if_lapsed(found)
        return Description(log, found.tenant, found.state, found.last, self._age(found))

    async def forget(self, log: str) -> None:
        self._bury(self._get(log))

    async def constant(self, name: str, value: bytes) -> bytes:
        return self._constants.setdefault(name, value)

    async def check(self) -> None:
        if self._closed:
            raise StoreError.closed()

    async def aclose(self) -> None:
        self._closed = True
        self._logs.clear()
        self._names.clear()
        self._documents.clear()

    def _get(self, id: str) -> _Log:
        self._sweep()
        log = self._logs.get(id)
        if log is not None:
            return log
        raise Expired.of(id) if id in self._tombstones else NoSuchLog.of(id)

    def _age(self, log: _Log) -> float:
        return 0.0 if log.state == "open" else max(self._clock() - log.sealed, 0.0)

    def _writable(self, lease: Lease) -> _Log:
        log = self._get(lease.log)
        if log.epoch != lease.epoch:
            raise Fenced.of(log.id, log.epoch)
        if log.state != "open":
            raise Sealed.of(log.id, log.state)
        return log

    def _unstored(self, log: _Log, entries: Sequence[Entry]) -> list[Entry]:
        """The entries not stored yet; stored ones are a retry, and must be the same. Raises `OutOfSequence`."""
        stored = len(log.entries)
        fresh = [entry for entry in entries if entry.offset.sequence > stored]
        if [entry.offset.sequence for entry in fresh] != list(range(stored + 1, stored + 1 + len(fresh))):
            raise OutOfSequence.gap(log.id, stored)
        for entry in entries[: len(entries) - len(fresh)]:
            if log.entries[entry.offset.sequence - 1].data != entry.data:
                raise OutOfSequence.taken(log.id, entry.offset.sequence)
        return fresh

    def _close(self, log: _Log) -> None:
        """Close a log whose ending has just been added; bind its name to it, or free its names."""
        ending = log.entries[-1].event
        assert isinstance(ending, Ending)
        log.state, log.recovery = state_after(ending), None
        log.sealed = self._clock()
        if is_admissible(ending) and log.name is not None:
            self._bind(log.name, log.id)
        else:
            self._free_names(log)
        log.wake_readers()

    def _bind(self, name: str, log: str) -> None:
        self._names.update(dict.fromkeys(names_in(name), log))

    def _free_names(self, log: _Log) -> None:
        for name in [name for name, id in self._names.items() if id == log.id]:
            del self._names[name]

    def _is_lapsed(self, log: _Log) -> bool:
        return log.state == "open" and time.monotonic() - log.renewed >= self.limits.lease

    def _seal_if_lapsed(self, log: _Log) -> None:
        """Seal a log whose lease has lapsed, unless it may still be taken over: then say so."""
        if not self._is_lapsed(log):
            return
        limits = self.limits
        if log.recovery is not None and time.monotonic() - log.renewed < limits.lease + limits.takeover:
            self._found_abandoned(log.id)
            return
        log.entries.append(lost_ending(log.epoch, len(log.entries), self._clock() - log.opened))
        log.epoch += 1
        self._close(log)

    async def _change(self, log: _Log) -> None:
        """Wait until a log has changed or its lease has lapsed; an abandoned log is looked at once a second."""
        changed = log.changed = log.changed or asyncio.Event()
        lapse, now = log.renewed + self.limits.lease, time.monotonic()
        left = lapse - now if now < lapse else min(lapse + self.limits.takeover - now, 1.0)
        try:
            async with asyncio.timeout(max(left, 0)):
                await changed.wait()
        except TimeoutError:
            self._seal_if_lapsed(log)

    def _bury(self, log: _Log) -> None:
        """Delete a log, leave a tombstone, and wake everyone, who then find it gone."""
        self._tombstones[log.id] = self._clock() + self.limits.tombstone
        del self._logs[log.id]
        self._free_names(log)
        log.wake_readers()
        log.wake_writer()

    def _sweep(self) -> None:
        """Bury what has expired; at most once a second, because it looks at every log."""
        now = self._clock()
        if 0 <= now - self._swept < 1:
            return
        self._swept = now
        for log in list(self._logs.values()):
            self._seal_if_lapsed(log)
            if log.state != "open" and now - log.sealed >= log.ttl + self.limits.grace:
                self._bury(log)
        for id in [id for id, until in self._tombstones.items() if until <= now]:
            del self._tombstones[id]
        self.sweep_documents()
