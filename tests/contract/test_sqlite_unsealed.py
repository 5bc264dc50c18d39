"""A writer has died and nobody can write its end: the disk is full or read-only, or the write lock stays taken.

Its readers hear that the answer is lost, nobody joins it, other logs are read on, and the first who can write seals it.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from headwater.entries import Entry
from headwater.errors import StoreError
from headwater.events import Error, TextDelta
from headwater.log.logs import Logs
from headwater.log.sqlite import file
from headwater.log.sqlite.connection import StoreConnection
from headwater.log.sqlite.lapses import SEAL_WITHIN
from headwater.log.sqlite.lock import FileLock
from headwater.log.sqlite.owners import Owners
from headwater.log.sqlite.rows import Rows
from headwater.log.sqlite.store import SqliteStore
from headwater.log.sqlite.tailer import SqliteTailer
from headwater.log.store import Lease, Limits
from headwater.offsets import ORIGIN, Offset
from headwater.testing.contract_harness import ALICE, BOB, QUICK, TTL, WHOLE, entries, entry, reading, run, until

PATIENCE = QUICK.lease + SEAL_WITHIN + 1.0
"""Seconds until every reader of a log whose writer died must have heard of it."""


class Disk(StoreConnection):
    """A connection on a disk that can become read-only."""

    read_only = False

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        if sql == "BEGIN IMMEDIATE":
            super().execute(f"PRAGMA query_only = {Disk.read_only:d}")
        return super().execute(sql, parameters)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs.db"


@pytest.fixture
async def dead(path: Path) -> AsyncGenerator[SqliteStore, None]:
    """The store of the process whose writers die: it opens logs and falls silent."""
    store = SqliteStore(path, Limits())  # with a lease that ends in no test, so that it seals nothing itself
    yield store
    await store.aclose()


@pytest.fixture
async def store(path: Path) -> AsyncGenerator[SqliteStore, None]:
    store = SqliteStore(path, QUICK)
    yield store
    await store.aclose()


@pytest.fixture
async def disk(
    dead: SqliteStore, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[type[Disk], None]:
    """The disk of `store`, whose connections are opened later than those with which `dead` writes."""
    await dead.check()
    monkeypatch.setattr(file, "StoreConnection", Disk)
    yield Disk
    Disk.read_only = False


@contextmanager
def write_lock_taken(path: Path) -> Generator[None]:
    """Another program holds the write lock."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


def code(got: list[Entry]) -> str:
    event = got[-1].event
    assert isinstance(event, Error)
    assert event.retryable
    return event.code


async def test_readers_hear_of_a_dead_writer_while_nobody_can_write(
    dead: SqliteStore, store: SqliteStore, path: Path
) -> None:
    """Those who wait and those who come later, wherever they begin; what they have is then all that is stored."""
    lease = await dead.open("log", ALICE, ttl=TTL)
    await dead.append(run("a", "b"), lease)
    first, got = await reading(store, "log")
    ahead, _ = await reading(store, "log", Offset(1, 7))  # it was served from the writer's memory
    await until(lambda: len(got) == 2)
    with write_lock_taken(path):
        async with asyncio.timeout(PATIENCE):
            assert [each.offset for each in await first] == [(1, 1), (1, 2), (2, 3)]
            assert [each.offset for each in await ahead] == [(2, 3)]
            late = await entries(store, "log")
        assert code(got) == code(late) == "lost"
        assert late[-1].data == b""  # it is in no store, so it goes out without an offset
        assert len(await entries(store, "log", follow=False)) == 2


async def test_the_first_who_can_write_seals_the_log(dead: SqliteStore, store: SqliteStore, path: Path) -> None:
    """A reader that goes on from the last stored entry finds that ending, which is where readers were shown theirs."""
    lease = await dead.open("log", ALICE, ttl=TTL, name="name")
    await dead.append(run("a"), lease)
    with write_lock_taken(path):
        async with asyncio.timeout(PATIENCE):
            shown = await entries(store, "log")

    async def sealed() -> bool:
        return (await store.describe("log")).state == "lost"

    await until(sealed)
    again = await entries(store, "log", Offset(1, 1))
    assert [each.offset for each in again] == [shown[-1].offset] == [Offset(2, 2)]
    assert code(again) == "lost"
    assert again[-1].data


async def test_a_writer_that_was_only_late_goes_on(dead: SqliteStore, store: SqliteStore, path: Path) -> None:
    """Its readers lose nothing: they read on from the last entry that was stored."""
    lease = await dead.open("log", ALICE, ttl=TTL)
    await dead.append(run("a"), lease)
    blocked = sqlite3.connect(path, isolation_level=None)
    blocked.execute("BEGIN IMMEDIATE")
    async with asyncio.timeout(PATIENCE):
        shown = await entries(store, "log")
    blocked.execute("INSERT INTO packs SELECT key, 2, 2, 1, ? FROM logs", (entry(2, TextDelta("b")).data,))
    blocked.execute("UPDATE logs SET last = 2, beat = beat + 1")
    blocked.execute("COMMIT")
    task, got = await reading(store, "log", shown[-2].offset)
    await until(lambda: len(got) >= 1)
    assert got[0].event == TextDelta("b")
    blocked.close()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_crowd_behind_one_mirror_hears_it_too_and_nothing_is_remembered(
    dead: SqliteStore, store: SqliteStore, path: Path
) -> None:
    """A log that was never written to ends at its first entry; the ending that nobody stored is not replayed."""
    await dead.open("log", ALICE, ttl=TTL)
    logs = Logs(store)

    async def read() -> list[Entry]:
        return [each async for page in logs.read("log") for each in page]

    with write_lock_taken(path):
        async with asyncio.timeout(PATIENCE):
            found = await asyncio.gather(*(read() for _ in range(10)))
    assert [code(got) for got in found] == ["lost"] * 10

    async def sealed() -> bool:
        return (await store.describe("log")).state == "lost"

    await until(sealed)
    assert (await read())[-1].data


async def test_one_log_that_cannot_be_sealed_keeps_nobody_from_the_others(
    dead: SqliteStore, store: SqliteStore, disk: type[Disk], caplog: pytest.LogCaptureFixture
) -> None:
    """Live logs are read on, and the store says once what is wrong."""
    await dead.open("silent", ALICE, ttl=TTL)
    lease = await dead.open("live", ALICE, ttl=TTL)
    lost, _ = await reading(store, "silent")
    live, got = await reading(store, "live")
    await until(lambda: len(store._tailer._seen) == 2)  # pyright: ignore[reportPrivateUsage]
    disk.read_only = True
    with caplog.at_level(logging.WARNING):
        sequence = 0
        while not lost.done():
            sequence += 1
            await dead.append(run(str(sequence), begin=sequence), lease)
            await until(lambda wanted=sequence: len(got) == wanted, within=0.5)
        assert code(await lost) == "lost"
        await dead.seal([entry(sequence + 1, WHOLE)], lease)
        assert len(await live) == sequence + 1
    assert [each.message for each in caplog.records if "cannot be watched" in each.message] == []
    assert len([each for each in caplog.records if "cannot be ended in the store" in each.message]) == 1


async def test_nobody_joins_a_log_whose_lease_has_run_out(
    dead: SqliteStore, store: SqliteStore, disk: type[Disk]
) -> None:
    """A claim that cannot seal it is refused at once; one that can begins an answer of its own."""
    await dead.claim("name", "orphan", BOB, ttl=TTL)
    assert not (await store.claim("name", "next", BOB, ttl=TTL)).won  # its writer may live
    disk.read_only = True
    async with asyncio.timeout(PATIENCE):
        assert code(await entries(store, "orphan")) == "lost"
        begin = asyncio.get_running_loop().time()
        with pytest.raises(StoreError, match="read-only"):
            await store.claim("name", "next", BOB, ttl=TTL)
        with pytest.raises(StoreError, match="read-only"):
            await store.find("name", BOB)
        assert asyncio.get_running_loop().time() - begin < 1
    disk.read_only = False
    claim = await store.claim("name", "heir", BOB, ttl=TTL)
    assert (claim.log, claim.won, claim.lease) == ("heir", True, Lease("heir"))
    assert (await store.describe("orphan")).state == "lost"


async def test_a_file_that_cannot_be_watched_is_an_error_for_those_who_wait(path: Path) -> None:
    """Readers who wait for wake-ups that will never come hear of it after a lease."""

    def connect() -> Rows:
        raise StoreError("broken")

    async def seal(_log: str, _epoch: int, _beat: int) -> bool:
        return False

    tailer = SqliteTailer(connect, Limits(lease=0.2), FileLock(path), Owners(path), seal)
    tailer.start()
    with tailer.follow("log") as waiter, pytest.raises(StoreError, match="cannot be watched: broken"):
        async with asyncio.timeout(5):
            await waiter.wait()
    await tailer.aclose()


async def test_the_offset_of_the_end_comes_after_all_that_was_stored(dead: SqliteStore, store: SqliteStore) -> None:
    """The control: where the log can be sealed, its ending is stored."""
    lease = await dead.open("log", ALICE, ttl=TTL)
    await dead.append(run("a"), lease)
    got = await entries(store, "log", ORIGIN)
    assert [each.offset for each in got] == [(1, 1), (2, 2)]
    assert got[-1].data
