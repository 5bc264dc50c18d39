"""Several processes on one SQLite file: one writes; another reads, requests a stop, or finds the writer dead."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlite_form_1 import LOGS, form_1

from headwater.events import Error, Stop
from headwater.log.sqlite.store import SqliteStore
from headwater.offsets import Offset
from headwater.principal import Principal
from headwater.testing.contract import LIMITS, QUICK
from headwater.testing.contract_harness import entries, reading, until

SCRIPT = Path(__file__).with_name("other_process.py")
BOB = Principal("acme", "bob")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs.db"


@pytest.fixture
async def store(path: Path) -> AsyncGenerator[SqliteStore, None]:
    store = SqliteStore(path, QUICK)
    yield store
    await store.aclose()


@asynccontextmanager
async def process(path: Path, command: str, log: str = "log") -> AsyncGenerator[Process, None]:
    """Run another process on the file; it is killed when the context ends."""
    other = await asyncio.create_subprocess_exec(sys.executable, SCRIPT, path, command, log, stdin=PIPE, stdout=PIPE)
    try:
        yield other
    finally:
        if other.returncode is None:
            other.kill()
        await other.communicate()


async def line(other: Process) -> str:
    """The next line that it prints."""
    assert other.stdout is not None
    async with asyncio.timeout(20):
        return (await other.stdout.readline()).decode().strip()


async def test_a_killed_writer(store: SqliteStore, path: Path) -> None:
    """After a writer was killed, its readers get what it wrote, then `lost`; its name can be claimed again."""
    async with process(path, "write") as other:
        assert await line(other) == "ready"
        task, got = await reading(store, "log")
        ahead, _ = await reading(store, "log", Offset(1, 7))
        await until(lambda: len(got) == 3)
        other.kill()
        begin = time.monotonic()
        ending = (await task)[-1]
        assert time.monotonic() - begin < QUICK.lease + 2
        assert [each.offset for each in got] == [(1, 1), (1, 2), (1, 3), (2, 4)]
        assert isinstance(ending.event, Error)
        assert ending.event.code == "lost"
        assert await ahead == [ending]
    assert (await store.claim("name", "next", BOB, ttl=60)).won


async def test_an_orphan_that_nobody_reads(path: Path) -> None:
    """A server that starts after another was killed ends the other's logs at once, though no request reads them."""
    async with process(path, "write") as other:
        assert await line(other) == "ready"
        other.kill()
        await other.wait()
    store = SqliteStore(path, LIMITS)
    begin = time.monotonic()
    await store.check()

    async def lost() -> bool:
        return (await store.describe("log")).state == "lost"

    await until(lost)
    assert time.monotonic() - begin < 1
    await store.aclose()


async def test_a_stop_from_elsewhere(store: SqliteStore, path: Path) -> None:
    """A stop in this process ends a silent writer in another one, and its reader here, within a second."""
    async with process(path, "write") as other:
        assert await line(other) == "ready"
        task, got = await reading(store, "log")
        await until(lambda: len(got) == 3)
        begin = time.monotonic()
        assert await store.stop("log", "alice")
        assert (await task)[-1].event == Stop("alice")
        assert time.monotonic() - begin < 1.0
        async with asyncio.timeout(5):
            assert await other.wait() == 0


@asynccontextmanager
async def four_claims(path: Path) -> AsyncGenerator[list[list[str]], None]:
    """The answers of four processes that open a file and claim one name: whether they won, and the log they got."""
    async with process(path, "claim", "1") as a, process(path, "claim", "2") as b:
        async with process(path, "claim", "3") as c, process(path, "claim", "4") as d:
            others = [a, b, c, d]
            assert [await line(other) for other in others] == ["ready"] * 4
            for other in others:
                assert other.stdin is not None
                other.stdin.write(b"go\n")
            yield [(await line(other)).split() for other in others]


async def test_four_processes_claim_at_once(path: Path) -> None:
    """Of four processes that open a new file and claim one name, one wins, and all get the same log."""
    async with four_claims(path) as answers:
        assert sorted(answer for answer, _ in answers) == ["lost", "lost", "lost", "won"]
        assert len({log for _, log in answers}) == 1


async def test_four_processes_start_on_a_file_of_before(store: SqliteStore, path: Path) -> None:
    """Of four processes that open a file of an earlier form, one converts it, and all find what was in it."""
    form_1(path)
    async with four_claims(path) as answers:
        assert answers == [["lost", "whole"]] * 4
    assert await entries(store, "whole") == LOGS["whole"][1]


async def test_following_a_writer_elsewhere(store: SqliteStore, path: Path) -> None:
    """Readers that follow a writer in another process, from any moment on, get every entry once and in order."""
    async with process(path, "stream"):

        async def open_() -> bool:
            return await store.find("name", BOB) is not None

        await until(open_, within=20)
        readers = [await reading(store, "log") for _ in range(5)]
        await until(lambda: len(readers[0][1]) > 100)
        assert len(readers[0][1]) < 500  # delivered while it was written
        readers.append(await reading(store, "log", Offset(1, 50)))
        whole = [await task for task, _ in readers]
    assert [each.offset.sequence for each in whole[0]] == list(range(1, 502))
    assert all(each == whole[0] for each in whole[1:5])
    assert whole[5] == whole[0][50:]
    assert await entries(store, "log") == whole[0]
