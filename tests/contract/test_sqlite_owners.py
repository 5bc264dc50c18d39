"""The files by which the processes that share a SQLite file tell whether another is alive."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from headwater.errors import Fenced
from headwater.log.sqlite import owners
from headwater.log.sqlite.owners import Owners
from headwater.log.sqlite.store import SqliteStore
from headwater.testing.contract_harness import ALICE, LIMITS, QUICK, TTL, entries, run, until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs.db"


@pytest.fixture
async def store(path: Path) -> AsyncGenerator[SqliteStore, None]:
    store = SqliteStore(path, LIMITS)
    yield store
    await store.aclose()


def files(path: Path) -> list[Path]:
    return sorted(path.parent.glob("logs.db-owner-*"))


async def test_a_store_that_writes_has_a_file_until_it_is_closed(store: SqliteStore, path: Path) -> None:
    """Whoever writes no log has none; the file is empty, and readable by its owner alone."""
    await store.check()
    assert files(path) == []
    await store.open("log", ALICE, ttl=TTL)
    (mine,) = files(path)
    assert (mine.stat().st_size, mine.stat().st_mode & 0o777) == (0, 0o600)
    await store.aclose()
    assert files(path) == []


async def test_a_log_that_is_left_open_when_its_store_closes(store: SqliteStore, path: Path) -> None:
    """Nobody writes it any more, so it ends at once."""
    await store.open("log", ALICE, ttl=TTL)
    await store.aclose()
    other = SqliteStore(path, LIMITS)
    await other.check()

    async def lost() -> bool:
        return (await other.describe("log")).state == "lost"

    await until(lost, within=1.0)
    await other.aclose()


def test_files_of_dead_processes_are_deleted_by_the_next_one(path: Path) -> None:
    """Those of live ones stay, and so does whatever else lies there."""
    for name in ("logs.db-owner-1", "logs.db-owner-x", "logs.db-owners", "logs.db-wal"):
        path.with_name(name).touch()
    alive, new = Owners(path), Owners(path)
    assert alive.hold() == alive.id
    assert new.hold() == new.id
    names = {each.name for each in path.parent.iterdir()}
    assert names == {
        "logs.db-owner-x",
        "logs.db-owners",
        "logs.db-wal",
        f"logs.db-owner-{alive.id}",
        f"logs.db-owner-{new.id}",
    }
    assert not new.is_dead(alive.id)
    alive.close()
    assert new.is_dead(alive.id)
    new.close()


def test_a_lost_file_is_made_again(path: Path) -> None:
    """Somebody deletes it by mistake: the process counts as dead until it opens its next log."""
    mine, other = Owners(path), Owners(path)
    mine.hold()
    files(path)[0].unlink()
    assert other.is_dead(mine.id)
    assert mine.hold() == mine.id
    assert not other.is_dead(mine.id)
    mine.close()


async def test_a_deleted_file_fences_its_process_off(store: SqliteStore, path: Path) -> None:
    """What it wrote before ends, once and for all readers alike."""
    lease = await store.open("log", ALICE, ttl=TTL)
    files(path)[0].unlink()
    peer = SqliteStore(path, LIMITS)
    assert [each.offset for each in await entries(peer, "log")] == [(2, 1)]
    with pytest.raises(Fenced):
        await store.append(run("a"), lease)
    await peer.aclose()


async def test_where_there_are_no_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows the lease decides, as it does for a log that an earlier version has opened."""
    monkeypatch.setattr(owners, "fcntl", None)
    store, peer = SqliteStore(path, QUICK), SqliteStore(path, QUICK)
    lease = await store.open("log", ALICE, ttl=TTL, recovery=b"r")
    assert files(path) == []
    await peer.check()
    await store.append(run("a"), lease)
    assert await peer.abandoned("log") is None

    async def abandoned() -> bool:
        return await peer.abandoned("log") is not None

    await until(abandoned)
    await store.aclose()
    await peer.aclose()


def test_a_file_system_that_refuses_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has a file that says something, and nobody is taken for dead."""
    alive = Owners(path)
    alive.hold()

    def refuse(*_: object) -> None:
        raise OSError("locks are not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    other = Owners(path)
    assert other.hold() == 0
    assert not other.is_dead(alive.id)
    alive.close()


def test_a_file_that_cannot_be_opened_belongs_to_a_live_process(path: Path) -> None:
    """A process whose file says nothing is not taken for a dead one."""
    path.with_name("logs.db-owner-7").symlink_to("logs.db-owner-7")
    assert not Owners(path).is_dead(7)
