"""What the contract suite needs of a store under test, and the functions its tests are written with."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest

from headwater.entries import Entry, record
from headwater.errors import Expired, Fenced
from headwater.events import Ending, Event, Finish, TextDelta
from headwater.log.logs import Logs
from headwater.log.store import Lease, Limits, Store
from headwater.offsets import ORIGIN, Offset
from headwater.principal import Principal

LIMITS = Limits(lease=5.0, heartbeat=1.0, entries=1200, bytes=512 * 1024)
"""Bounds that a test can reach, and a lease that lapses in no test, however busy the machine is."""

QUICK = Limits(lease=0.4, heartbeat=0.1, entries=1200, bytes=512 * 1024)
"""The same with a lease short enough to wait until it has lapsed."""

lapses = pytest.mark.parametrize("limits", [QUICK], indirect=True, ids=["quick"])
"""Marks a test in which a lease lapses."""

GIVING_UP = Limits(lease=0.4, heartbeat=0.1, takeover=0.4, entries=1200, bytes=512 * 1024)
"""The same, and nobody takes over in time."""

abandons = pytest.mark.parametrize("limits", [GIVING_UP], indirect=True, ids=["giving up"])
"""Marks a test in which an abandoned log ends."""

TEST_TIMEOUT = 5.0
"""Seconds after which a test that still waits has failed."""

TTL = 60.0
WHOLE = Finish("stop")
ALICE = Principal("acme", "alice")
BOB = Principal("acme", "bob")


class Clock:
    """A wall clock that tests move; starts at the real time."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@dataclass
class Harness:
    """A store under test.

    `peer` is a second handle on the same data, opened as another process would, or the same object where that is
    impossible. Both read the wall time from `clock`, which tests move.
    """

    store: Store
    peer: Store
    clock: Clock
    stop_by_heartbeat: bool = False
    """Whether a writer learns of a stop in another process by its heartbeat, within a second, instead of a wake-up."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def new(self, what: str = "log") -> str:
        """A name that no test has used."""
        return f"{what}-{next(self._numbers)}"

    async def opened(self, *texts: str, name: str | None = None, ttl: float = TTL) -> Lease:
        """Open a new log with these texts."""
        lease = await self.store.open(self.new(), ALICE, ttl=ttl, name=name)
        if texts:
            await self.store.append(run(*texts), lease)
        return lease

    async def sealed(self, *texts: str, name: str | None = None, ttl: float = TTL, ending: Ending = WHOLE) -> str:
        """Make a new log with these texts and this ending; returns its id."""
        lease = await self.opened(*texts, name=name, ttl=ttl)
        await self.store.seal([entry(len(texts) + 1, ending)], lease)
        return lease.log

    async def learns_of_stop(self, lease: Lease, woken: Callable[[], bool]) -> None:
        """Wait until a silent writer knows that it should stop, from a wake-up or from its next heartbeat."""

        async def knows() -> bool:
            if woken() or not self.stop_by_heartbeat:
                return woken()
            try:
                return (await self.store.append([], lease)).stop is not None
            except (Expired, Fenced):
                return True

        await until(knows, within=1.0)

    async def is_woken_by(self, ends: Callable[[Store, str], Awaitable[object]]) -> None:
        """Check that what ends a log, in this process or another, wakes its silent writer."""
        for store in (self.store, self.peer):
            lease = await self.opened("a")
            woken = asyncio.Event()
            cease = self.store.listen(lease, woken.set)
            await ends(store, lease.log)
            await self.learns_of_stop(lease, woken.is_set)
            cease()

    async def lost(self, *texts: str, name: str | None = None) -> Lease:
        """Make a new log whose writer fell silent and which a reader has sealed; returns the writer's lease."""
        lease = await self.opened(*texts, name=name)
        await entries(self.store, lease.log)
        return lease


class Seen(NamedTuple):
    """An entry without what differs from run to run."""

    offset: Offset
    event: Event


def entry(sequence: int, event: Event, epoch: int = 1) -> Entry:
    """An entry at a sequence."""
    return record(Offset(epoch, sequence), sequence / 100, event)


def run(*texts: str, begin: int = 1) -> list[Entry]:
    """Consecutive text entries, from a sequence on."""
    return [entry(begin + i, TextDelta(text)) for i, text in enumerate(texts)]


def seen(stored: Sequence[Entry]) -> list[Seen]:
    """The parts of entries that tests compare."""
    return [Seen(each.offset, each.event) for each in stored]


async def entries(store: Store, log: str, after: Offset = ORIGIN, *, follow: bool = True) -> list[Entry]:
    """Every entry that a reader gets, until the ending."""
    async with asyncio.timeout(TEST_TIMEOUT):
        return [each async for page in store.read(log, after, follow=follow) for each in page]


async def texts(store: Store, log: str) -> list[str]:
    """The texts stored so far."""
    return [each.event.text for each in await entries(store, log, follow=False) if isinstance(each.event, TextDelta)]


async def bound(store: Store, name: str) -> str | None:
    """The log that a name finds."""
    found = await store.find(name, BOB)
    return None if found is None else found.log


async def reading(
    store: Store | Logs, log: str, after: Offset = ORIGIN
) -> "tuple[asyncio.Task[list[Entry]], list[Entry]]":
    """Start a reader in a task of its own; returns the task and the list to which it adds what it gets."""
    got: list[Entry] = []

    async def read() -> list[Entry]:
        async with asyncio.timeout(TEST_TIMEOUT):
            async for page in store.read(log, after):
                got.extend(page)
        return got

    return asyncio.create_task(read()), got


async def until(fact: Callable[[], Awaitable[bool]] | Callable[[], bool], within: float = TEST_TIMEOUT) -> None:
    """Wait until a fact is true; raises `TimeoutError` when it does not become true in so many seconds."""
    async with asyncio.timeout(within):
        while True:
            found = fact()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.005)
