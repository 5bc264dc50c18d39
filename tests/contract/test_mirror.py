"""Readers of one live log that another process writes: the store is asked once for all of them."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest

from headwater.entries import Entry
from headwater.errors import Expired, StoreError
from headwater.log.logs import Logs
from headwater.log.memory import MemoryStore
from headwater.log.store import Lease
from headwater.offsets import ORIGIN, Offset
from headwater.testing.contract_harness import ALICE, TEST_TIMEOUT, TTL, WHOLE, entry, run, until


class Counting(MemoryStore):
    """A store that counts who reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.following = 0
        self.reads = 0

    async def read(
        self, log: str, after: Offset = ORIGIN, *, follow: bool = True
    ) -> AsyncGenerator[Sequence[Entry], None]:
        self.reads += 1
        self.following += follow
        try:
            async with aclosing(super().read(log, after, follow=follow)) as pages:
                async for page in pages:
                    yield page
        finally:
            self.following -= follow


@pytest.fixture
async def lease(store: Counting) -> Lease:
    return await store.open("log", ALICE, ttl=TTL)


@pytest.fixture
def store() -> Counting:
    return Counting()


@pytest.fixture
def logs(store: Counting) -> Logs:
    """The logs as a process sees them that does not write this one."""
    return Logs(store)


def read(logs: Logs, after: Offset = ORIGIN) -> "tuple[asyncio.Task[list[int]], list[int]]":
    """A reader at work, and the sequences it has got so far."""
    got: list[int] = []

    async def reading() -> list[int]:
        async with asyncio.timeout(TEST_TIMEOUT), aclosing(logs.read("log", after)) as pages:
            async for page in pages:
                got.extend(each.offset.sequence for each in page)
        return got

    return asyncio.create_task(reading()), got


async def test_a_crowd_costs_the_store_one_reader(logs: Logs, store: Counting, lease: Lease) -> None:
    """Each gets everything, in order, to the ending; pages are shared, so each is encoded once."""
    readers = [read(logs) for _ in range(50)]
    await store.append(run("1", "2"), lease)
    await until(lambda: all(len(got) == 2 for _, got in readers))
    assert store.following == 1
    await store.append(run("3", begin=3), lease)
    await store.seal([entry(4, WHOLE)], lease)

    assert [await task for task, _ in readers] == [[1, 2, 3, 4]] * 50
    assert store.reads == 1


async def test_a_reader_that_joins_late_misses_nothing(logs: Logs, store: Counting, lease: Lease) -> None:
    """Wherever it begins: before the mirror's beginning, within, or at its end."""
    await store.append(run(*map(str, range(1, 11))), lease)
    first, got = read(logs, Offset(1, 5))
    await until(lambda: got == [6, 7, 8, 9, 10])
    others = [read(logs, Offset(1, after) if after else ORIGIN) for after in (0, 3, 5, 7, 10)]
    await until(lambda: [len(seen) for _, seen in others] == [10, 7, 5, 3, 0])
    assert store.following == 1
    await store.seal([entry(11, WHOLE)], lease)

    assert await first == [*range(6, 12)]
    assert [await task for task, _ in others] == [[*range(after + 1, 12)] for after in (0, 3, 5, 7, 10)]


async def test_a_reader_that_is_ahead_of_the_mirror(logs: Logs, store: Counting, lease: Lease) -> None:
    """A reader that the writer had served from memory gets nothing twice when the store catches up."""
    await store.append(run("1", "2"), lease)
    first, got = read(logs)
    await until(lambda: got == [1, 2])
    ahead, _ = read(logs, Offset(1, 4))
    await until(lambda: store.following == 1)
    await store.append(run("3", "4", "5", begin=3), lease)
    await store.seal([entry(6, WHOLE)], lease)
    assert [await first, await ahead] == [[1, 2, 3, 4, 5, 6], [5, 6]]
    assert store.reads == 1


async def test_readers_of_an_abandoned_log_that_saw_more_than_was_stored(logs: Logs, store: Counting) -> None:
    """Whoever comes first, and however far ahead each is: all of them get the seam next, and nothing twice."""
    lease = await store.open("log", ALICE, ttl=TTL, recovery=b"{}")
    await store.append(run("1", "2"), lease)
    readers: list[tuple[asyncio.Task[list[int]], list[int]]] = []
    for after in (9, 7, 8, 2, 0, 4):
        readers.append(read(logs, Offset(1, after) if after else ORIGIN))
        await until(lambda: store.following > 0)
    await until(lambda: readers[4][1] == [1, 2])
    await store.release(lease)
    heir = await store.take_over([entry(3, WHOLE, 2)], "log")
    assert heir.epoch == 2
    assert [await task for task, _ in readers] == [[3]] * 4 + [[1, 2, 3], [3]]
    assert store.following == 0
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("mirror")]


async def test_the_store_is_left_alone_once_everybody_has_gone(logs: Logs, store: Counting, lease: Lease) -> None:
    """The mirror ends with its last reader; the next one begins another."""
    await store.append(run("1"), lease)
    for _ in range(2):
        task, got = read(logs)
        await until(lambda got=got: got == [1])
        task.cancel()
        await asyncio.wait({task})
        assert store.following == 0


async def test_what_the_store_raises_every_reader_raises(logs: Logs, store: Counting, lease: Lease) -> None:
    """Each its own exception, so that no traceback grows with the crowd."""
    await store.append(run("1"), lease)
    readers = [read(logs) for _ in range(3)]
    await until(lambda: all(got == [1] for _, got in readers))
    await store.forget("log")
    raised = await asyncio.gather(*(task for task, _ in readers), return_exceptions=True)

    assert [type(each) for each in raised] == [Expired] * 3
    assert len({id(each) for each in raised}) == 3


async def test_whoever_comes_back_after_a_failure_is_served_by_the_store_that_has_recovered() -> None:
    """Also while a slow reader still has to take what the failed mirror has for it."""

    class Failing(Counting):
        """Fails once, behind a page."""

        async def read(
            self, log: str, after: Offset = ORIGIN, *, follow: bool = True
        ) -> AsyncGenerator[Sequence[Entry], None]:
            async with aclosing(super().read(log, after, follow=follow)) as pages:
                async for page in pages:
                    yield page
                    if self.reads == 1:
                        raise StoreError("away")

    store = Failing()
    logs, lease = Logs(store), await store.open("log", ALICE, ttl=TTL)
    await store.append(run("1"), lease)
    async with aclosing(logs.read("log")) as slow:
        assert len(await anext(slow)) == 1
        await until(lambda: not [task for task in asyncio.all_tasks() if task.get_name().startswith("mirror")])
        again = [read(logs, Offset(1, 1)) for _ in range(2)]
        await until(lambda: store.following == 1)
        await store.append(run("2", begin=2), lease)
        await store.seal([entry(3, WHOLE)], lease)
        assert [await task for task, _ in again] == [[2, 3], [2, 3]]
        assert store.reads == 2
        with pytest.raises(StoreError, match="away"):
            await anext(slow)


async def test_a_bug_in_a_store_ends_its_readers_too(lease: Lease) -> None:
    """Whatever is raised, nobody waits for ever."""

    class Broken(Counting):
        async def read(
            self, log: str, after: Offset = ORIGIN, *, follow: bool = True
        ) -> AsyncGenerator[Sequence[Entry], None]:
            raise RuntimeError("a bug")
            yield []

    task, _ = read(Logs(Broken()))
    with pytest.raises(StoreError, match="a bug"):
        await task


async def test_a_sealed_log_is_read_without_a_mirror(logs: Logs, store: Counting, lease: Lease) -> None:
    """Nothing will come, so nothing is followed."""
    await store.seal([entry(1, WHOLE)], lease)
    async with aclosing(logs.read("log", sealed=True)) as pages:
        assert [len(page) async for page in pages] == [1]
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("mirror")]
