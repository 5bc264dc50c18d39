"""The store's file is deleted beneath running servers, or another one is put in its place."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from headwater.entries import Entry
from headwater.errors import NoSuchLog
from headwater.events import Error, TextDelta
from headwater.log.logs import Logs
from headwater.log.sqlite.file import open_file
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Limits
from headwater.testing.contract_harness import ALICE, BOB, TEST_TIMEOUT, TTL, WHOLE, entries, entry, reading, run, until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "logs.db"


@pytest.fixture
async def stores(path: Path) -> AsyncGenerator[list[SqliteStore], None]:
    """The stores of two processes, both of which have used all their connections."""
    made = [SqliteStore(path, Limits()) for _ in range(2)]
    for each in made:
        await each.check()
        await each.find("nothing", ALICE)
    yield made
    for each in made:
        await each.aclose()


def delete(path: Path) -> None:
    path.unlink()


def delete_all(path: Path) -> None:
    for each in path.parent.iterdir():
        each.unlink()
    path.parent.rmdir()


def replace(path: Path) -> None:
    """Put another store in its place, as a backup is restored: whole, and in use by nobody."""
    other = path.with_name("other.db")
    open_file(other).close()
    other.replace(path)


VANISHING = pytest.mark.parametrize("vanish", [delete, delete_all, replace], ids=["deleted", "folder", "replaced"])


def code(got: list[Entry]) -> str:
    event = got[-1].event
    assert isinstance(event, Error)
    assert event.retryable
    return event.code


@VANISHING
async def test_an_answer_in_a_file_that_is_gone_is_a_miss_everywhere(
    stores: list[SqliteStore], path: Path, vanish: Callable[[Path], None]
) -> None:
    """Both processes find the same: the old answer in neither, the new one in both, and no claim leads nowhere."""
    store, peer = stores
    claim = await store.claim("name", "old", ALICE, ttl=TTL)
    assert claim.lease is not None
    await store.seal([*run("a"), entry(2, WHOLE)], claim.lease)
    vanish(path)
    assert await peer.find("name", BOB) is None
    claim = await store.claim("name", "new", ALICE, ttl=TTL)
    assert (claim.won, claim.lease is not None) == (True, True)
    assert claim.lease is not None
    await store.seal([*run("b"), entry(2, WHOLE)], claim.lease)
    for each in stores:
        found = await each.claim("name", "third", BOB, ttl=TTL)
        assert (found.log, found.won) == ("new", False)
        assert len(await entries(each, "new")) == 2
        with pytest.raises(NoSuchLog):
            await each.describe("old")
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("SELECT id FROM logs").fetchall() == [("new",)]


@VANISHING
async def test_readers_of_a_log_that_vanished_hear_that_it_is_lost(
    stores: list[SqliteStore], path: Path, vanish: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Beside the writer and elsewhere, after all that the process has in memory; each process says so once."""
    store, peer = stores
    lease = await store.open("log", ALICE, ttl=TTL)
    shown: dict[str, list[Entry]] = {"near": [], "far": []}

    async def read(where: str, logs: Logs) -> None:
        async for page in logs.read("log"):
            shown[where].extend(page)

    logs = Logs(store)
    with caplog.at_level(logging.WARNING):
        async with asyncio.timeout(TEST_TIMEOUT), logs.write(lease) as writer:
            interrupted = asyncio.Event()
            writer.interrupt = interrupted.set
            tasks = [asyncio.create_task(read("near", logs)), asyncio.create_task(read("far", Logs(peer)))]
            writer.append([TextDelta("a")])
            await until(lambda: [len(got) for got in shown.values()] == [1, 1])
            vanish(path)
            writer.append([TextDelta("b")])
            await interrupted.wait()
            await writer.seal(WHOLE)
            await asyncio.gather(*tasks)
        # Two processes have noticed, each by its next look.
        await until(lambda: sum("was deleted or replaced" in each.message for each in caplog.records) == 2)
    assert [each.event for each in shown["near"][:-1]] == [TextDelta("a"), TextDelta("b")]
    assert shown["far"][0].event == TextDelta("a")
    assert [code(got) for got in shown.values()] == ["lost", "lost"]


async def test_a_store_that_nobody_uses_at_the_moment_notices_too(stores: list[SqliteStore], path: Path) -> None:
    """The side files of the old file are gone, so that a program that opens the new one reads its own data."""
    store, _ = stores
    lease = await store.open("log", ALICE, ttl=TTL)
    task, got = await reading(store, "log")
    await store.append(run("a"), lease)
    await until(lambda: len(got) == 1)
    delete(path)
    await until(path.exists)
    with pytest.raises(NoSuchLog):
        await task
