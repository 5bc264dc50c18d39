"""The writer and the readers of one process, over memory and SQLite: delivery at once, never far ahead of the store."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import pytest

from headwater.entries import Entry
from headwater.errors import Expired, StoreError
from headwater.events import Error, Finish, Stop, TextDelta
from headwater.log.logs import Logs
from headwater.log.memory import MemoryStore
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Flush, Lease, Limits, Receipt, Store
from headwater.offsets import ORIGIN, Offset
from headwater.testing.contract import LIMITS, QUICK
from headwater.testing.contract_harness import ALICE, TEST_TIMEOUT, TTL, WHOLE, entries, entry, until

NO_HEARTBEAT = Limits(lease=QUICK.lease, heartbeat=60.0)
"""Limits with which a writer's heartbeat comes too late to renew its lease."""

Kind = MemoryStore | SqliteStore


@pytest.fixture
def limits(request: pytest.FixtureRequest) -> Limits:
    return getattr(request, "param", LIMITS)


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, limits: Limits, tmp_path: Path) -> AsyncGenerator[Kind, None]:
    store = MemoryStore(limits) if request.param == "memory" else SqliteStore(tmp_path / "logs.db", limits)
    yield store
    await store.aclose()


@pytest.fixture
async def file(limits: Limits, tmp_path: Path) -> AsyncGenerator[SqliteStore, None]:
    store = SqliteStore(tmp_path / "logs.db", limits)
    yield store
    await store.aclose()


def locked(store: SqliteStore) -> "closing[sqlite3.Connection]":
    """Lock the store's file against writing until the connection is closed."""
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return closing(other)


def text(*words: str) -> list[TextDelta]:
    return [TextDelta(word) for word in words]


async def read(logs: Logs, log: str, after: Offset = ORIGIN) -> list[Entry]:
    async with asyncio.timeout(TEST_TIMEOUT):
        return [each async for page in logs.read(log, after) for each in page]


async def test_readers_here_are_ahead_of_the_store(store: Kind) -> None:
    """Readers in the writer's process get an event before the store has it; other readers after the flush."""
    store.flush = Flush(interval=60.0)
    logs = Logs(store)
    async with logs.write(await store.open("log", ALICE, ttl=TTL)) as writer:
        writer.append(text("a"))
        async with aclosing(logs.read("log")) as pages:
            assert [each.event for each in await anext(pages)] == text("a")
        assert (await store.describe("log")).last == ORIGIN
        await writer.seal(WHOLE)
    assert [each.event for each in await entries(store, "log")] == [*text("a"), WHOLE]


async def test_the_store_follows_by_itself(store: Kind) -> None:
    """An event is stored a moment after it was shown, without a further event to cause the flush."""
    logs = Logs(store)
    async with logs.write(await store.open("log", ALICE, ttl=TTL)) as writer:
        writer.append(text("a", "b"))

        async def stored() -> bool:
            return (await store.describe("log")).last == Offset(1, 2)

        await until(stored, within=1.0)
        await writer.seal(WHOLE)


async def test_all_readers_read_the_same(store: Kind) -> None:
    """Local readers, readers of the store and readers after the ending get the same entries, from any offset."""
    logs = Logs(store)
    async with logs.write(await store.open("log", ALICE, ttl=TTL)) as writer:
        here = asyncio.create_task(read(logs, "log"))
        there = asyncio.create_task(entries(store, "log"))
        for i in range(300):
            writer.append(text(f"{i} "))
            await writer.room()
        middle = asyncio.create_task(read(logs, "log", Offset(1, 200)))
        await asyncio.sleep(0)
        await writer.seal(WHOLE)
        first = await here
        assert await there == first
        assert await middle == first[200:]
    assert await read(logs, "log") == first
    assert [each.offset.sequence for each in first] == list(range(1, 302))


async def test_a_crowd_reads_several_events_at_once(store: Kind) -> None:
    """A crowd of readers is not woken for every token, and each of them still gets every token in order."""
    logs = Logs(store)
    words = [str(number) for number in range(50)]
    wakes: list[int] = []

    async def follow() -> list[str]:
        pages = [page async for page in logs.read("log")]
        wakes.append(len(pages))
        return [each.event.text for page in pages for each in page if isinstance(each.event, TextDelta)]

    async with asyncio.timeout(TEST_TIMEOUT), logs.write(await store.open("log", ALICE, ttl=TTL)) as writer:
        crowd = [asyncio.create_task(follow()) for _ in range(300)]
        await asyncio.sleep(0)  # now the readers wait
        for word in words:
            writer.append(text(word))
            await asyncio.sleep(0)
        await writer.seal(WHOLE)
        assert await asyncio.gather(*crowd) == [words] * len(crowd)
    assert max(wakes) < len(words)


async def test_a_reader_beyond_what_was_shown(store: Kind) -> None:
    """An offset that this writer never handed out is `Expired`."""
    logs = Logs(store)
    async with logs.write(await store.open("log", ALICE, ttl=TTL)) as writer:
        writer.append(text("a"))
        for strange in (Offset(1, 2), Offset(2, 1)):
            with pytest.raises(Expired):
                await read(logs, "log", strange)
        await writer.seal(WHOLE)


async def test_a_stop_interrupts_a_silent_writer(store: Kind) -> None:
    """A stop reaches a writer without events within a second, with the subject who requested it."""
    logs = Logs(store)
    async with logs.write(await store.open("log", ALICE, ttl=TTL)) as writer:
        interrupted = asyncio.Event()
        writer.interrupt = interrupted.set
        assert await store.stop("log", "alice")
        async with asyncio.timeout(1.0):
            await interrupted.wait()
        assert writer.stop == "alice"
        await writer.seal(Stop("alice"))
    assert (await store.describe("log")).state == "stopped"


@pytest.mark.parametrize("limits", [QUICK], indirect=True, ids=["quick"])
async def test_heartbeats_keep_a_silent_log_alive(store: Kind) -> None:
    """A model that is silent for longer than a lease does not lose its log."""
    logs = Logs(store)
    async with logs.write(await store.open("log", ALICE, ttl=TTL)) as writer:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5 * QUICK.lease):
                await entries(store, "log")
        await writer.seal(WHOLE)
    assert (await store.describe("log")).state == "finished"


@pytest.mark.parametrize("limits", [NO_HEARTBEAT], indirect=True, ids=["no heartbeat"])
async def test_a_fenced_writer_falls_silent(store: Kind) -> None:
    """A writer whose log was taken over is interrupted; its readers get `lost`, even those ahead of the store."""
    store.flush = Flush(interval=60.0, events=2)
    logs = Logs(store)
    async with logs.write(await store.open("log", ALICE, ttl=TTL)) as writer:
        interrupted = asyncio.Event()
        writer.interrupt = interrupted.set
        assert [each.offset for each in await entries(store, "log")] == [Offset(2, 1)]  # a reader sealed it
        reader = asyncio.create_task(read(logs, "log"))
        writer.append(text("a", "b", "c"))
        async with asyncio.timeout(TEST_TIMEOUT):
            await writer.room()
            await interrupted.wait()
        assert writer.fenced
        await writer.seal(WHOLE)
        ending = (await reader)[-1]
        assert ending.offset == Offset(2, 1)
        assert isinstance(ending.event, Error)
        assert ending.event.code == "lost"
    assert await entries(store, "log") == [ending]


@pytest.mark.parametrize("limits", [Limits(entries=10)], indirect=True, ids=["small"])
async def test_a_log_that_is_full(store: Kind) -> None:
    """A log at its bound interrupts the producer, ignores further events, and still takes its ending."""
    logs = Logs(store)
    async with logs.write(await store.open("log", ALICE, ttl=TTL)) as writer:
        interrupted = asyncio.Event()
        writer.interrupt = interrupted.set
        writer.append(text(*"abcdefghijklmnop"))
        assert interrupted.is_set()
        assert writer.full
        async with asyncio.timeout(1.0):
            await writer.room()
        await writer.seal(Error("log_limit", "too long"))
    assert (await store.describe("log")).last == Offset(1, 10)


@pytest.mark.parametrize("limits", [Limits(bytes=300)], indirect=True, ids=["small"])
async def test_a_full_log_has_no_holes(store: Kind) -> None:
    """Events behind one that does not fit are dropped too, however small they are."""
    async with Logs(store).write(await store.open("log", ALICE, ttl=TTL)) as writer:
        writer.append(text("a", "b" * 300, "c"))
        assert writer.full
        await writer.seal(Error("log_limit", "too long"))
    assert [each.event for each in await entries(store, "log")][:-1] == text("a")


@pytest.mark.parametrize("limits", [QUICK], indirect=True, ids=["quick"])
async def test_a_producer_that_dies_without_an_ending(store: Kind) -> None:
    """A producer that leaves its log open strands no reader: the lease lapses and the log ends `lost`."""
    logs = Logs(store)
    async with logs.write(await store.open("log", ALICE, ttl=TTL)) as writer:
        writer.append(text("a"))
        reader = asyncio.create_task(read(logs, "log"))
        await asyncio.sleep(0)
    ending = (await reader)[-1].event
    assert isinstance(ending, Error)
    assert ending.code == "lost"


async def test_an_ending_is_shown_when_it_is_stored(file: SqliteStore) -> None:
    """Local readers get the ending only once the store has it: until then another process may seal differently."""
    logs = Logs(file)
    async with logs.write(await file.open("log", ALICE, ttl=TTL)) as writer:
        with locked(file):
            writer.append(text("a"))
            sealing = asyncio.create_task(writer.seal(WHOLE))
            async with aclosing(logs.read("log")) as pages:
                assert len(await anext(pages)) == 1
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await anext(pages)
        assert [each.event for each in await read(logs, "log")] == [*text("a"), WHOLE]
        await sealing


async def test_a_flush_that_breaks_ends_the_answer_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that no store should raise ends the answer for its readers, and leaves no task waiting."""
    store = MemoryStore()

    async def broken(_: Sequence[Entry], __: Lease) -> Receipt:
        raise RuntimeError("a bug")

    monkeypatch.setattr(store, "append", broken)
    logs = Logs(store)
    async with logs.write(await store.open("log", ALICE, ttl=TTL)) as writer:
        writer.append(text(*["x"] * store.flush.events))
        async with asyncio.timeout(TEST_TIMEOUT):
            await writer.room()
        ending = (await read(logs, "log"))[-1].event
        assert isinstance(ending, Error)
        assert ending.code == "internal"


async def test_a_store_that_is_slow_holds_the_producer_back(file: SqliteStore) -> None:
    """The producer waits while the store is a flush behind, and continues when it has caught up."""
    logs = Logs(file)
    async with logs.write(await file.open("log", ALICE, ttl=TTL)) as writer:
        with locked(file):
            writer.append(text(*["x"] * file.flush.events))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await writer.room()
        async with asyncio.timeout(TEST_TIMEOUT):
            await writer.room()
        await writer.seal(WHOLE)
    assert (await file.describe("log")).state == "finished"


async def test_a_heartbeat_that_meets_a_slow_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a flush takes longer than a heartbeat, the writer waits for it without looking again and again."""
    store, answers = MemoryStore(Limits(heartbeat=0.05)), asyncio.Event()
    store.flush = Flush(interval=0.0)
    append = store.append

    async def slow(entries: Sequence[Entry], lease: Lease) -> Receipt:
        await answers.wait()
        return await append(entries, lease)

    monkeypatch.setattr(store, "append", slow)
    async with Logs(store).write(await store.open("log", ALICE, ttl=TTL)) as writer:
        writer.append(text("a"))
        loop, enough = asyncio.get_running_loop(), asyncio.Event()
        call_at, looked = loop.call_at, list[float]()

        def noted(*args: Any, **options: Any) -> asyncio.TimerHandle:
            looked.append(loop.time())
            if len(looked) == 4:
                enough.set()
            return call_at(*args, **options)

        async with asyncio.timeout(TEST_TIMEOUT):
            monkeypatch.setattr(loop, "call_at", noted)
            await enough.wait()
        assert looked[3] - looked[1] > store.limits.heartbeat  # the first call may belong to the flush itself
        answers.set()
        await writer.seal(WHOLE)


@pytest.mark.parametrize("limits", [QUICK], indirect=True, ids=["quick"])
async def test_a_store_that_fails(file: SqliteStore) -> None:
    """A store that takes nothing ends the local readers with an error and stops the producer; the log ends `lost`."""
    file.flush = Flush(retry_for=0.5)
    logs = Logs(file)
    async with logs.write(await file.open("log", ALICE, ttl=TTL)) as writer:
        interrupted = asyncio.Event()
        writer.interrupt = interrupted.set
        with locked(file):
            writer.append(text(*["x"] * file.flush.events))
            reader = asyncio.create_task(read(logs, "log"))
            async with asyncio.timeout(TEST_TIMEOUT):
                await writer.room()
                await interrupted.wait()
            await writer.seal(Finish("stop"))
            got = await reader
            assert len(got) == file.flush.events + 1
            assert isinstance(got[-1].event, Error)
            assert (got[-1].event.code, got[-1].event.status) == ("store", 503)
    assert (await entries(file, "log"))[-1].offset.epoch == 2


async def test_the_log_of_another_process(file: SqliteStore) -> None:
    """A log that another process writes is read from the store, to its end."""
    elsewhere: Store = SqliteStore(file.path, LIMITS)
    lease = await elsewhere.open("log", ALICE, ttl=TTL)
    reader = asyncio.create_task(read(Logs(file), "log"))
    await elsewhere.seal([entry(1, WHOLE)], lease)
    assert len(await reader) == 1
    await elsewhere.aclose()


async def test_what_was_stored_is_reported(store: Kind) -> None:
    """The hook `flushed` gets the entries and seconds of each flush and of the seal; every entry is counted once."""
    reports: list[tuple[int, float]] = []

    def flushed(count: int, seconds: float) -> None:
        reports.append((count, seconds))

    logs = Logs(store)
    begin = time.monotonic()
    async with logs.write(await store.open("log", ALICE, ttl=TTL), flushed=flushed) as writer:
        writer.append(text("a", "b"))
        await until(lambda: len(reports) == 1)
        assert reports[0][0] == 2
        writer.append(text("c"))
        await writer.seal(WHOLE)
    passed = time.monotonic() - begin
    assert sum(count for count, _ in reports) == len(await entries(store, "log")) == 4
    assert all(0 < seconds < passed for _, seconds in reports)


async def test_heartbeats_are_reported() -> None:
    """A heartbeat is a flush of no entries, and is reported as one."""
    reports: list[int] = []
    store = MemoryStore(Limits(heartbeat=0.02))
    async with Logs(store).write(
        await store.open("log", ALICE, ttl=TTL), flushed=lambda count, _: reports.append(count)
    ):
        await until(lambda: len(reports) == 3)
    assert reports == [0, 0, 0]


async def test_a_store_that_fails_is_reported(file: SqliteStore) -> None:
    """The hook `store_failed` gets the last error once retrying is over; nothing is reported as stored."""
    file.flush = Flush(retry_for=0.3)
    failures: list[StoreError] = []
    reports: list[int] = []
    lease = await file.open("log", ALICE, ttl=TTL)
    async with Logs(file).write(
        lease, flushed=lambda count, _: reports.append(count), store_failed=failures.append
    ) as writer:
        with locked(file):
            writer.append(text("a"))
            await writer.seal(WHOLE)
    assert [str(each) for each in failures] == ["no answer for 0.3 s"]
    assert reports == []


async def test_a_takeover_is_no_failure_of_the_store(store: Kind) -> None:
    """A fenced writer reports no failed store: the store works, and refuses this writer."""
    failures: list[StoreError] = []
    async with Logs(store).write(await store.open("log", ALICE, ttl=TTL), store_failed=failures.append) as writer:
        await store.forget("log")
        writer.append(text("a"))
        await writer.seal(WHOLE)
        assert writer.fenced
    assert failures == []
