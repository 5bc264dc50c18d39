"""The reference store: everything in this process's memory, gone with it. Read this file to learn the contract."""

import asyncio
import time
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from headwater.errors import Expired, Fenced, LogFull, NoSuchLog, OutOfSequence, Sealed, StoreError
from headwater.events import Ending, Entry, State, is_admissible, state_after
from headwater.log.store import Claim, Description, Flush, Lease, Limits, Receipt, check_offset, lost_ending
from headwater.offsets import ORIGIN, Offset
from headwater.principal import Principal

PAGE = 512


@dataclass
class _Log:
    id: str
    tenant: str
    ttl: float
    name: str | None
    subjects: set[str]
    renewed: float
    opened: float
    epoch: int = 1
    state: State = "open"
    entries: list[Entry] = field(default_factory=list[Entry])
    size: int = 0
    stop: str | None = None
    sealed: float = 0.0
    changed: asyncio.Event | None = None  # made by the first who waits
    wakes: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])

    @property
    def last(self) -> Offset:
        return self.entries[-1].offset if self.entries else ORIGIN

    def announce(self) -> None:
        """Wake everyone who waits for this log; they look for themselves."""
        if self.changed is not None:
            self.changed.set()
            self.changed = None


class MemoryStore:
    """Keeps logs in memory, for tests and for servers that may forget.

    `clock` gives wall time in seconds, for ages and TTLs; leases run on the monotonic clock, which does not jump.
    """

    def __init__(self, limits: Limits | None = None, clock: Callable[[], float] = time.time) -> None:
        self.limits = limits or Limits()
        # Nobody else reads this memory, and whatever ends this process ends it too: there is no hurry to fill it.
        self.flush = Flush(interval=0.25, events=1024, bytes=256 * 1024)
        self._clock = clock
        self._logs: dict[str, _Log] = {}
        self._names: dict[str, str] = {}
        self._tombstones: dict[str, float] = {}
        self._constants: dict[str, bytes] = {}
        self._sweep_due = 0.0
        self._closed = False

    async def claim(
        self,
        name: str,
        log: str,
        principal: Principal,
        *,
        ttl: float,
        newer_than: float | None = None,
        binds: str | None = None,
    ) -> Claim:
        bound = await self.find(name, principal, newer_than=newer_than)
        if bound is not None:
            # The winner, whose answer got lost on the way, asks again.
            again = bound.log == log and bound.state == "open"
            return Claim(log, won=True, lease=Lease(log)) if again else bound
        lease = await self.open(log, principal, ttl=ttl, name=binds or name)
        self._names[name] = log
        return Claim(log, won=True, lease=lease)

    async def find(self, name: str, principal: Principal, *, newer_than: float | None = None) -> Claim | None:
        self._sweep()
        held = self._logs.get(self._names.get(name, ""))
        if held is None:
            return None
        self._seal_if_lapsed(held)
        if held.state != "open":
            age = self._age(held)
            # A lapsed log has just lost its name; a name outlives neither its TTL nor the patience of the caller.
            if self._names.get(name) != held.id or age >= held.ttl or (newer_than is not None and age > newer_than):
                return None
            return Claim(held.id, won=False, state=held.state, age=age, ttl=held.ttl - age)
        if held.stop is not None:
            return None
        held.subjects.add(principal.subject)
        return Claim(held.id, won=False)

    async def open(self, log: str, principal: Principal, *, ttl: float, name: str | None = None) -> Lease:
        try:
            held = self._get(log)
        except NoSuchLog:
            now = self._clock()
            self._logs[log] = _Log(log, principal.tenant, ttl, name, {principal.subject}, time.monotonic(), now)
        else:
            if held.state != "open":
                raise Sealed.of(log, held.state)
        return Lease(log)

    async def append(self, entries: Sequence[Entry], lease: Lease) -> Receipt:
        held = self._writable(lease)
        fresh = self._fresh(held, entries)
        size = sum(len(entry.data) for entry in fresh)
        if len(held.entries) + len(fresh) > self.limits.entries or held.size + size > self.limits.bytes:
            raise LogFull.of(held.id, self.limits.entries, self.limits.bytes)
        held.renewed = time.monotonic()
        if fresh:
            held.entries.extend(fresh)
            held.size += size
            held.announce()
        return Receipt(stop=held.stop)

    async def seal(self, entries: Sequence[Entry], lease: Lease) -> None:
        held = self._get(lease.log)
        if held.entries and entries[-1] == held.entries[-1]:
            return
        held = self._writable(lease)
        fresh = self._fresh(held, entries)
        if not fresh:
            raise OutOfSequence.gap(held.id, len(held.entries))
        held.entries.extend(fresh)
        self._close(held)

    async def read(
        self, log: str, after: Offset = ORIGIN, *, follow: bool = True
    ) -> AsyncGenerator[Sequence[Entry], None]:
        held = self._get(log)
        self._seal_if_lapsed(held)
        while True:
            check_offset(after, held.state, held.epoch, held.last)
            begin = bisect_right(held.entries, after, key=lambda entry: entry.offset)
            page = held.entries[begin : begin + PAGE]
            if page:
                yield page
                after = page[-1].offset
            elif held.state != "open" or not follow:
                return
            else:
                self._get(log)  # forgotten while its reader was busy, it would announce nothing any more
                await self._change(held)
                self._get(log)

    async def stop(self, log: str, subject: str) -> bool:
        held = self._get(log)
        held.subjects.discard(subject)
        if held.subjects or held.state != "open":
            return held.state != "open"
        held.stop = held.stop or subject
        for wake in list(held.wakes):
            wake()
        return True

    def listen(self, lease: Lease, wake: Callable[[], None]) -> Callable[[], None]:
        held = self._get(lease.log)
        held.wakes.append(wake)
        if held.stop is not None:
            wake()
        return lambda: held.wakes.remove(wake)

    async def describe(self, log: str) -> Description:
        held = self._get(log)
        self._seal_if_lapsed(held)
        return Description(log, held.tenant, held.state, held.last, self._age(held))

    async def forget(self, log: str) -> None:
        held = self._get(log)
        self._bury(held)

    async def constant(self, name: str, value: bytes) -> bytes:
        return self._constants.setdefault(name, value)

    async def check(self) -> None:
        if self._closed:
            raise StoreError.closed()

    async def aclose(self) -> None:
        self._closed = True
        self._logs.clear()
        self._names.clear()

    def _get(self, log: str) -> _Log:
        self._sweep()
        held = self._logs.get(log)
        if held is not None:
            return held
        if log in self._tombstones:
            raise Expired.of(log)
        raise NoSuchLog.of(log)

    def _age(self, held: _Log) -> float:
        return 0.0 if held.state == "open" else max(self._clock() - held.sealed, 0.0)

    def _writable(self, lease: Lease) -> _Log:
        held = self._get(lease.log)
        if held.epoch != lease.epoch:
            raise Fenced.of(held.id, held.epoch)
        if held.state != "open":
            raise Sealed.of(held.id, held.state)
        return held

    def _fresh(self, held: _Log, entries: Sequence[Entry]) -> list[Entry]:
        """The entries not stored yet; those that are stored are a retry, acknowledged again."""
        have = len(held.entries)
        fresh = [entry for entry in entries if entry.offset.sequence > have]
        if [entry.offset.sequence for entry in fresh] != list(range(have + 1, have + 1 + len(fresh))):
            raise OutOfSequence.gap(held.id, have)
        for entry in entries[: len(entries) - len(fresh)]:
            if held.entries[entry.offset.sequence - 1].data != entry.data:
                raise OutOfSequence.taken(held.id, entry.offset.sequence)
        return fresh

    def _close(self, held: _Log) -> None:
        ending = held.entries[-1].event
        assert isinstance(ending, Ending)
        held.state = state_after(ending)
        held.sealed = self._clock()
        if is_admissible(ending) and held.name is not None:
            self._names[held.name] = held.id
        else:
            self._free_names(held)
        held.announce()

    def _free_names(self, held: _Log) -> None:
        for name in [name for name, log in self._names.items() if log == held.id]:
            del self._names[name]

    def _seal_if_lapsed(self, held: _Log) -> None:
        if held.state != "open" or time.monotonic() - held.renewed < self.limits.lease:
            return
        held.entries.append(lost_ending(held.epoch, len(held.entries), self._clock() - held.opened))
        held.epoch += 1
        self._close(held)

    async def _change(self, held: _Log) -> None:
        """Wait until the log changed or its lease lapsed; the caller looks again either way."""
        changed = held.changed = held.changed or asyncio.Event()
        left = held.renewed + self.limits.lease - time.monotonic()
        try:
            async with asyncio.timeout(max(left, 0)):
                await changed.wait()
        except TimeoutError:
            self._seal_if_lapsed(held)

    def _bury(self, held: _Log) -> None:
        self._tombstones[held.id] = self._clock() + self.limits.tombstone
        del self._logs[held.id]
        self._free_names(held)
        held.announce()
        for wake in list(held.wakes):
            wake()

    def _sweep(self) -> None:
        """Forget what has expired; at most once a second, since it looks at everything."""
        now = self._clock()
        if 0 <= now - self._sweep_due < 1:
            return
        self._sweep_due = now
        for held in list(self._logs.values()):
            self._seal_if_lapsed(held)
            if held.state != "open" and now - held.sealed >= held.ttl + self.limits.grace:
                self._bury(held)
        for log in [log for log, until in self._tombstones.items() if until <= now]:
            del self._tombstones[log]
