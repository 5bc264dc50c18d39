"""The writer and the readers of one process, over both stores: at once from memory, and never further than is kept."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import Expired
from headwater.events import Entry, Error, Finish, Stop, TextDelta
from headwater.log.logs import Logs
from headwater.log.memory import MemoryStore
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Flush, Lease, Limits, Receipt, Store
from headwater.offsets import ORIGIN, Offset
from headwater.testing.contract import LIMITS, QUICK
from headwater.testing.contract_harness import ALICE, PATIENCE, TTL, WHOLE, entries, entry, until

DEAF = Limits(lease=QUICK.lease, heartbeat=60.0)
"""A writer that sends no heartbeats in time."""

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
    """Keep the store's file from being written until the connection is closed."""
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return closing(other)


def text(*words: str) -> list[TextDelta]:
    return [TextDelta(word) for word in words]


async def read(logs: Logs, log: str, after: Offset = ORIGIN) -> list[Entry]:
    async with asyncio.timeout(PATIENCE):
        return [each async for page in logs.read(log, after) for each in page]


async def test_readers_here_are_ahead_of_the_store(store: Kind) -> None:
    """Readers in the writer's process see an event before the store has it; the others after the flush."""
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
    """What was shown is stored a moment later, without another event to push it."""
    logs = Logs(store)
    async with logs.write(await store.open("log", ALICE, ttl=TTL)) as writer:
        writer.append(text("a", "b"))

        async def stored() -> bool:
            return (await store.describe("log")).last == Offset(1, 2)

        await until(stored, patience=1.0)
        await writer.seal(WHOLE)


async def test_all_readers_read_the_same(store: Kind) -> None:
    """Readers here, readers of the store and readers who come when it is over read the same, from any offset."""
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
    """A crowd is not woken for every token, and yet everybody in it gets every one of them, in order."""
    logs = Logs(store)
    words = [str(number) for number in range(50)]
    wakes: list[int] = []

    async def follow() -> list[str]:
        pages = [page async for page in logs.read("log")]
        wakes.append(len(pages))
        return [each.event.text for page in pages for each in page if isinstance(each.event, TextDelta)]

    async with asyncio.timeout(PATIENCE), logs.write(await store.open("log", ALICE, ttl=TTL)) as writer:
        crowd = [asyncio.create_task(follow()) for _ in range(300)]
        await asyncio.sleep(0)  # now they wait
        for word in words:
            writer.append(text(word))
            await asyncio.sleep(0)
        await writer.seal(WHOLE)
        assert await asyncio.gather(*crowd) == [words] * len(crowd)
    assert max(wakes) < len(words)


async def test_a_reader_beyond_what_was_shown(store: Kind) -> None:
    """An offset that this writer never handed out is expired."""
    logs = Logs(store)
    async with logs.write(await store.open("log", ALICE, ttl=TTL)) as writer:
        writer.append(text("a"))
        for strange in (Offset(1, 2), Offset(2, 1)):
            with pytest.raises(Expired):
                await read(logs, "log", strange)
        await writer.seal(WHOLE)


async def test_a_stop_interrupts_a_silent_writer(store: Kind) -> None:
    """A stop reaches a writer that has nothing to write within a second, with the name of who asked."""
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
    """A model that thinks for longer than a lease does not lose its log."""
    logs = Logs(store)
    async with logs.write(await store.open("log", ALICE, ttl=TTL)) as writer:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5 * QUICK.lease):
                await entries(store, "log")
        await writer.seal(WHOLE)
    assert (await store.describe("log")).state == "finished"


@pytest.mark.parametrize("limits", [DEAF], indirect=True, ids=["deaf"])
async def test_a_fenced_writer_falls_silent(store: Kind) -> None:
    """A writer whose log was taken over is interrupted; its readers get `lost`, also those who had seen more."""
    store.flush = Flush(interval=60.0, events=2)
    logs = Logs(store)
    async with logs.write(await store.open("log", ALICE, ttl=TTL)) as writer:
        interrupted = asyncio.Event()
        writer.interrupt = interrupted.set
        assert [each.offset for each in await entries(store, "log")] == [Offset(2, 1)]  # somebody else noticed
        reader = asyncio.create_task(read(logs, "log"))
        writer.append(text("a", "b", "c"))
        async with asyncio.timeout(PATIENCE):
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
    """A log at its bound interrupts the producer, takes nothing more, and still takes its ending."""
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
    """What comes behind an event that finds no room is not kept either, however small it is."""
    async with Logs(store).write(await store.open("log", ALICE, ttl=TTL)) as writer:
        writer.append(text("a", "b" * 300, "c"))
        assert writer.full
        await writer.seal(Error("log_limit", "too long"))
    assert [each.event for each in await entries(store, "log")][:-1] == text("a")


@pytest.mark.parametrize("limits", [QUICK], indirect=True, ids=["quick"])
async def test_a_producer_that_dies_without_an_ending(store: Kind) -> None:
    """A producer that leaves its log open strands no reader: the log is found lapsed and ends `lost`."""
    logs = Logs(store)
    async with logs.write(await store.open("log", ALICE, ttl=TTL)) as writer:
        writer.append(text("a"))
        reader = asyncio.create_task(read(logs, "log"))
        await asyncio.sleep(0)
    ending = (await reader)[-1].event
    assert isinstance(ending, Error)
    assert ending.code == "lost"


async def test_an_ending_is_shown_when_it_is_kept(file: SqliteStore) -> None:
    """Readers here get the ending only when the store has it: until then another may end the log differently."""
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
    """What no store should raise is told to the readers, and lets nobody wait for ever."""
    store = MemoryStore()

    async def broken(_: Sequence[Entry], __: Lease) -> Receipt:
        raise RuntimeError("a bug")

    monkeypatch.setattr(store, "append", broken)
    logs = Logs(store)
    async with logs.write(await store.open("log", ALICE, ttl=TTL)) as writer:
        writer.append(text(*["x"] * store.flush.events))
        async with asyncio.timeout(PATIENCE):
            await writer.room()
        ending = (await read(logs, "log"))[-1].event
        assert isinstance(ending, Error)
        assert ending.code == "internal"


async def test_a_store_that_is_slow_holds_the_producer_back(file: SqliteStore) -> None:
    """The producer waits while the store is a flush behind, and goes on when it has caught up."""
    logs = Logs(file)
    async with logs.write(await file.open("log", ALICE, ttl=TTL)) as writer:
        with locked(file):
            writer.append(text(*["x"] * file.flush.events))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await writer.room()
        async with asyncio.timeout(PATIENCE):
            await writer.room()
        await writer.seal(WHOLE)
    assert (await file.describe("log")).state == "finished"


async def test_a_heartbeat_that_meets_a_slow_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer waits for a flush that takes longer than a heartbeat without asking over and over if it is through."""
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

        async with asyncio.timeout(PATIENCE):
            monkeypatch.setattr(loop, "call_at", noted)
            await enough.wait()
        assert looked[3] - looked[1] > store.limits.heartbeat  # the first may be of the flush itself
        answers.set()
        await writer.seal(WHOLE)


@pytest.mark.parametrize("limits", [QUICK], indirect=True, ids=["quick"])
async def test_a_store_that_fails(file: SqliteStore) -> None:
    """A store that takes nothing ends the readers here with an error and stops the producer; the log ends `lost`."""
    file.flush = Flush(retry_for=0.5)
    logs = Logs(file)
    async with logs.write(await file.open("log", ALICE, ttl=TTL)) as writer:
        interrupted = asyncio.Event()
        writer.interrupt = interrupted.set
        with locked(file):
            writer.append(text(*["x"] * file.flush.events))
            reader = asyncio.create_task(read(logs, "log"))
            async with asyncio.timeout(PATIENCE):
                await writer.room()
                await interrupted.wait()
            await writer.seal(Finish("stop"))
            got = await reader
            assert len(got) == file.flush.events + 1
            assert isinstance(got[-1].event, Error)
            assert (got[-1].event.code, got[-1].event.status) == ("store", 503)
    assert (await entries(file, "log"))[-1].offset.epoch == 2


async def test_the_log_of_another_process(file: SqliteStore) -> None:
    """A log that is written elsewhere is read from the store, to its end."""
    elsewhere: Store = SqliteStore(file.path, LIMITS)
    lease = await elsewhere.open("log", ALICE, ttl=TTL)
    reader = asyncio.create_task(read(Logs(file), "log"))
    await elsewhere.seal([entry(1, WHOLE)], lease)
    assert len(await reader) == 1
    await elsewhere.aclose()
