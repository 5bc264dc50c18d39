"""Several processes write one SQLite file at the same time: nobody is refused, and nobody starves."""

import asyncio
import json
import sqlite3
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headwater.errors import StoreError
from headwater.events import TextDelta
from headwater.log.sqlite.file import BUSY_TIMEOUT
from headwater.log.sqlite.lock import FileLock
from headwater.log.sqlite.owners import Owners
from headwater.log.sqlite.rows import Rows
from headwater.log.sqlite.store import SqliteStore
from headwater.log.sqlite.tailer import SqliteTailer
from headwater.log.store import Limits, Terms
from headwater.testing.contract_harness import ALICE, TTL, WHOLE, entry

SCRIPT = Path(__file__).with_name("busy_process.py")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs.db"


@pytest.fixture
async def store(path: Path) -> AsyncGenerator[SqliteStore, None]:
    store = SqliteStore(path, Limits())
    yield store
    await store.aclose()


@contextmanager
def foreign_transaction(path: Path) -> Generator[sqlite3.Connection]:
    """Another program's write transaction, which knows nothing of our lock beside the file."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield other
    finally:
        other.close()


async def stored(store: SqliteStore, name: str) -> None:
    """A whole answer under a name."""
    claim = await store.claim(name, f"log-{name}", ALICE, ttl=TTL)
    assert claim.lease is not None
    await store.seal([entry(1, WHOLE)], claim.lease)


async def test_stored_answers_come_at_once_while_another_program_holds_the_write_lock(
    store: SqliteStore, path: Path
) -> None:
    """A hit reads: it is claimed, found, described and read without the write lock."""
    await stored(store, "name")
    with foreign_transaction(path):
        async with asyncio.timeout(1):
            for _ in range(20):
                claim = await store.claim("name", "log-new", ALICE, ttl=TTL)
                found = await store.find("name", ALICE)
                assert (claim.log, claim.won, claim.state) == ("log-name", False, "finished")
                assert found is not None
                assert found.log == "log-name"
                assert (await store.describe("log-name")).state == "finished"
                assert [page async for page in store.read("log-name")] != []


async def test_a_new_question_waits_for_the_write_lock_and_then_succeeds(store: SqliteStore, path: Path) -> None:
    """Beyond SQLite's own patience: the step is tried again for as long as its caller waits."""
    await stored(store, "name")
    with foreign_transaction(path) as other:
        claiming = asyncio.create_task(store.claim("other", "log-other", ALICE, ttl=TTL))
        _, waiting = await asyncio.wait({claiming}, timeout=BUSY_TIMEOUT + 0.5)
        assert waiting == {claiming}
        other.execute("ROLLBACK")
        async with asyncio.timeout(BUSY_TIMEOUT):
            assert (await claiming).won


async def test_an_answer_that_is_too_old_for_its_reader_is_not_found_without_the_lock(store: SqliteStore) -> None:
    """What the reading connection finds is judged as the writing one judges it."""
    await stored(store, "name")
    assert (await store.claim("name", "log-new", ALICE, ttl=TTL, terms=Terms(newer_than=0))).won


async def test_a_caller_whose_patience_ends_hears_why(path: Path) -> None:
    """Nothing waits for ever, and what was given up is not done later."""
    store = SqliteStore(path, Limits(), answer_within=0.3)
    await store.check()
    with foreign_transaction(path) as other:
        with pytest.raises(StoreError, match=r"has not answered for 0\.3 s"):
            await store.claim("name", "log", ALICE, ttl=TTL)
        other.execute("ROLLBACK")
    assert (await store.claim("name", "log-2", ALICE, ttl=TTL)).won
    await store.aclose()


async def test_processes_that_work_as_fast_as_they_can_are_neither_refused_nor_starved(path: Path) -> None:
    """Each claims, appends, seals and hits in a loop, over the same file, for two seconds."""
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, SCRIPT, path, str(number), stdout=PIPE)
        for number in range(4)
    ]
    async with asyncio.timeout(40):
        reports = [json.loads((await process.communicate())[0]) for process in processes]

    assert [report["refused"] for report in reports] == [[]] * 4
    rounds = [report["rounds"] for report in reports]
    assert min(rounds) > max(rounds) / 10, rounds
    assert max(report["longest"] for report in reports) < 2, reports


def test_the_lock_is_one_for_all_and_is_freed_with_its_holder(path: Path) -> None:
    """Two of one path exclude each other, also within a process; closing frees it, as the end of a process does."""
    first, second = FileLock(path), FileLock(path)
    with first:
        assert not second.take()
    assert second.take()
    assert not first.take()
    second.close()
    assert first.take()
    first.close()


async def test_a_log_that_another_process_cannot_write_now_is_read_on(store: SqliteStore, path: Path) -> None:
    """Readers of live logs do not need the write lock either."""
    lease = await store.open("log", ALICE, ttl=TTL)
    await store.append([entry(1, TextDelta("a")), entry(2, TextDelta("b"))], lease)
    with foreign_transaction(path):
        async with asyncio.timeout(1):
            pages = [page async for page in store.read("log", follow=False)]
    assert sum(map(len, pages)) == 2


def test_a_reader_that_waits_again_does_not_hurry_the_poll(path: Path) -> None:
    """After a look that took long the poll pauses, however fast its readers are; only the first one begins it anew."""

    def connect() -> Rows:
        raise StoreError("never called")

    async def seal(_log: str, _epoch: int, _beat: int) -> bool:
        return False

    tailer = SqliteTailer(connect, Limits(), FileLock(path), Owners(path), seal)
    hurried: list[bool] = []

    def hurry(pause: float) -> float:
        took = tailer._next_pause(pause)  # pyright: ignore[reportPrivateUsage]
        tailer.hurry()
        hurried.append(tailer._kick.is_set())  # pyright: ignore[reportPrivateUsage]
        return took

    with tailer.follow("log"):
        assert hurry(0.1) == 0.1
    hurry(0.0)
    assert hurried == [False, True]
