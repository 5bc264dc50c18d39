"""The SQLite store keeps the contract, through two handles on one file, and handles that file with care."""

import asyncio
import sqlite3
import stat
from collections.abc import AsyncGenerator, Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from headwater.errors import NoSuchLog, StoreError
from headwater.events import TextDelta
from headwater.log.sqlite.documents import SWEEP_DOCUMENTS
from headwater.log.sqlite.file import BUSY_TIMEOUT, open_file
from headwater.log.sqlite.lock import FileLock
from headwater.log.sqlite.rows import Rows
from headwater.log.sqlite.store import SqliteStore
from headwater.log.sqlite.thread import SqliteThread
from headwater.log.store import Document, Limits
from headwater.testing.contract import LIMITS, QUICK, Clock, Harness, StoreContract
from headwater.testing.contract_harness import ALICE, TTL, WHOLE, entries, entry, reading, run, until


class TestSqliteStore(StoreContract):
    @pytest.fixture
    async def harness(self, limits: Limits, tmp_path: Path) -> AsyncGenerator[Harness, None]:
        clock = Clock()
        store, peer = (SqliteStore(tmp_path / "logs.db", limits, clock) for _ in range(2))
        yield Harness(store, peer, clock)
        await peer.aclose()
        await store.aclose()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "logs.db"


@pytest.fixture
async def store(path: Path) -> AsyncGenerator[SqliteStore, None]:
    store = SqliteStore(path, LIMITS)
    yield store
    await store.aclose()


@contextmanager
def locked(path: Path) -> Generator[None, None, None]:
    """Lock the file against writing, as another process's long transaction would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def content(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, text: str) -> None:
    path.write_text(text)


async def test_nothing_happens_before_the_first_call(store: SqliteStore, path: Path) -> None:
    """Making a store does not touch the disk."""
    assert not path.parent.exists()


async def test_only_the_owner_may_look(store: SqliteStore, path: Path) -> None:
    """The folder, the file, its -wal and its -shm are readable by their owner alone: they hold conversations."""
    await store.constant("a", b"b")
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}


async def test_what_was_accepted_is_there_after_a_restart(store: SqliteStore, path: Path) -> None:
    """An append made before the store was closed is in the file, even if nothing waited for its answer."""
    lease = await store.open("log", ALICE, ttl=TTL)
    pending = [asyncio.create_task(store.append(run(*"abc"), lease)) for _ in range(3)]
    await asyncio.sleep(0)  # the tasks queue their steps, and have no answer yet
    await store.aclose()
    await asyncio.gather(*pending)
    again = SqliteStore(path, LIMITS)
    # The log has lost its writer, and its ending may be there already.
    assert [each.event for each in (await entries(again, "log", follow=False))[:3]] == [
        TextDelta(text) for text in "abc"
    ]
    await again.aclose()


async def test_a_reader_who_waits_when_the_store_closes(store: SqliteStore) -> None:
    """A store that closes leaves no reader waiting: each gets an error, not the end of the answer."""
    lease = await store.open("log", ALICE, ttl=TTL)
    await store.append(run("a"), lease)
    task, got = await reading(store, "log")
    await until(lambda: len(got) == 1)
    await store.aclose()
    with pytest.raises(StoreError, match="closed"):
        async with asyncio.timeout(1):
            await task


async def test_a_newer_form_is_refused(store: SqliteStore, path: Path) -> None:
    """A file written by a later version is refused with an error that says what to do, and is not changed."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    before = content(path)
    with pytest.raises(StoreError, match="newer Headwater"):
        await store.constant("a", b"b")
    assert content(path) == before


async def test_a_strange_database_is_refused(store: SqliteStore, path: Path) -> None:
    """The database of another program is not written to."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (a)")
    with pytest.raises(StoreError, match="some other program's"):
        await store.constant("a", b"b")


async def test_no_database_at_all(store: SqliteStore, path: Path) -> None:
    """A file that is no database is an error for readers and writers alike, never an empty store."""
    path.parent.mkdir()
    write(path, "Dear diary, " * 1000)
    with pytest.raises(StoreError, match="not a store of Headwater's"):
        await store.check()
    with pytest.raises(StoreError, match="not a store of Headwater's"):
        await store.claim("name", "log", ALICE, ttl=TTL)
    with pytest.raises(StoreError, match="not a store of Headwater's"):
        await entries(store, "log")


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A folder that cannot be created is an error, and the store works once the obstacle is gone."""
    write(tmp_path / "data", "in the way")
    store = SqliteStore(tmp_path / "data" / "logs.db", LIMITS)
    with pytest.raises(StoreError, match="cannot be opened"):
        await store.find("name", ALICE)
    (tmp_path / "data").unlink()
    assert await store.find("name", ALICE) is None
    await store.aclose()


async def test_a_full_disk(path: Path) -> None:
    """A full disk is an error that says so; nothing of what did not fit is stored, and smaller appends work."""

    def connect() -> Rows:
        db = open_file(path)
        db.execute("PRAGMA max_page_count = 40")
        return Rows(db, Limits(), Clock())

    thread = SqliteThread(path, connect, FileLock(path))
    lease = await thread.do(Rows.open, "log", ALICE, ttl=TTL)
    with pytest.raises(StoreError, match="disk is full"):
        await thread.do(Rows.append, run("x" * 100_000, "y" * 100_000), lease)
    await thread.do(Rows.append, run("z"), lease)
    assert (await thread.do(Rows.describe, "log")).last.sequence == 1
    await thread.aclose()


async def test_a_step_that_fails_half_way(path: Path) -> None:
    """A step that fails after it changed rows leaves nothing behind, and others in its transaction are kept."""
    clock = Clock()
    thread = SqliteThread(path, lambda: Rows(open_file(path), LIMITS, clock), FileLock(path))

    def half(rows: Rows) -> None:
        rows.open("half", ALICE, ttl=TTL)
        raise ValueError("half-way")

    steps = [thread.do(Rows.open, "a", ALICE, ttl=TTL), thread.do(half), thread.do(Rows.open, "b", ALICE, ttl=TTL)]
    answers = await asyncio.gather(*steps, return_exceptions=True)
    assert isinstance(answers[1], ValueError)
    assert set(await thread.do(Rows.pulses)) == {"a", "b"}
    await thread.aclose()


def test_a_writer_that_comes_back_in_time(path: Path) -> None:
    """A log whose writer has appended since the last look is not sealed `lost`; any other is, once."""
    rows = Rows(open_file(path), LIMITS, Clock())
    with closing(rows.db):
        lease = rows.open("log", ALICE, ttl=TTL)
        watched = rows.pulses()["log"]
        rows.append([], lease)
        assert not rows.seal_lost("log", watched.epoch, watched.beat)
        watched = rows.pulses()["log"]
        answers = [rows.seal_lost("log", watched.epoch, watched.beat) for _ in range(2)]
        assert answers == [True, False]


async def test_a_lock_that_stays(path: Path) -> None:
    """While another process locks the file, writers get an error and readers do not; no restart is needed after."""
    store = SqliteStore(path, answer_within=BUSY_TIMEOUT + 1)
    lease = await store.open("log", ALICE, ttl=TTL)
    await store.append(run("a"), lease)
    with locked(path):
        refused = asyncio.create_task(store.append(run("b", begin=2), lease))
        assert len(await entries(store, "log", follow=False)) == 1
        with pytest.raises(StoreError, match="locked"):
            await refused
    await store.append(run("b", begin=2), lease)
    assert len(await entries(store, "log", follow=False)) == 2
    await store.aclose()


async def test_a_check_of_a_locked_file(path: Path) -> None:
    """A check fails while another process locks the file, because nothing could be written, and passes after."""
    store = SqliteStore(path, answer_within=BUSY_TIMEOUT + 1)
    await store.check()
    with locked(path):
        with pytest.raises(StoreError, match="locked"):
            await store.check()
    await store.check()
    await store.aclose()


async def test_a_check_begins_to_watch(path: Path) -> None:
    """A store that was only checked ends the open logs of a server that died."""
    dead, store = SqliteStore(path, QUICK), SqliteStore(path, QUICK)
    await dead.open("log", ALICE, ttl=TTL)
    await dead.aclose()
    await store.check()
    with closing(sqlite3.connect(path)) as db:
        await until(lambda: db.execute("SELECT state FROM logs").fetchone() == ("lost",))
    await store.aclose()


async def test_a_claim_whose_caller_left(store: SqliteStore, path: Path) -> None:
    """A claim whose caller gave up while it waited opens no log, which no process would write."""
    await store.constant("a", b"b")
    with locked(path):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await store.claim("name", "log", ALICE, ttl=TTL)
    assert await store.find("name", ALICE) is None
    with pytest.raises(NoSuchLog):
        await store.describe("log")


async def test_the_disk_gets_its_space_back(path: Path) -> None:
    """Expired logs are deleted from the file and the file shrinks, without any call that asks for it."""
    clock = Clock()
    store = SqliteStore(path, Limits(), clock)
    lease = await store.open("log", ALICE, ttl=TTL)
    await store.seal([*run(*["x" * 1000] * 600), entry(601, WHOLE)], lease)
    await store.aclose()
    full = len(content(path))
    clock.now += TTL + Limits().grace + 1
    again = SqliteStore(path, Limits(), clock)
    await again.constant("a", b"b")
    with closing(sqlite3.connect(path)) as db:
        await until(lambda: db.execute("SELECT count(*) FROM packs").fetchone() == (0,))
        await until(lambda: db.execute("PRAGMA freelist_count").fetchone() == (0,))
    await again.aclose()
    assert len(content(path)) < full / 4


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE packs SET data = CAST('x' || substr(data, 2) AS BLOB)",
        "UPDATE packs SET data = X'78'",
        "DELETE FROM packs",
    ],
    ids=["strange bytes", "an entry is missing", "a pack is missing"],
)
@pytest.mark.parametrize("first", [1, 3, 5])
async def test_damage(store: SqliteStore, path: Path, damage: str, first: int) -> None:
    """A damaged or missing entry is an error for its reader, not a hole in the answer."""
    lease = await store.open("log", ALICE, ttl=TTL)
    for begin in (1, 3, 5):
        await store.append(run("a", "b", begin=begin), lease)
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"{damage} WHERE first = {first}")
        db.commit()
    with pytest.raises(StoreError, match="cannot be read"):
        await entries(store, "log", follow=False)


def test_expired_documents_are_swept_in_small_transactions(path: Path) -> None:
    """However many have expired at once, writers wait for a few of them only; in the end the file has none."""
    clock = Clock()
    with closing(open_file(path)) as db:
        rows = Rows(db, LIMITS, clock)
        for i in range(SWEEP_DOCUMENTS + 1):
            rows.put(f"expired-{i}", b"value", 60, None)
        clock.now += 30
        rows.put("kept", b"value", 60, None)
        clock.now += 31
        assert [rows.sweep(), rows.sweep()] == [True, False]
        assert db.execute("SELECT name FROM documents").fetchall() == [("kept",)]


def test_documents_of_an_earlier_version_stay_where_they_are(path: Path) -> None:
    """A version without collections finds them as well; no name leads into a collection."""
    clock = Clock()
    with closing(open_file(path)) as db:
        rows = Rows(db, LIMITS, clock)
        db.execute("INSERT INTO documents VALUES ('chat', 3, ?, 'earlier')", (clock.now + 60,))
        found = rows.get("chat")
        assert found is not None
        assert found.version == 3
        rows.put("name", b"collected", 60, None, "a")
        inside = [name for (name,) in db.execute("SELECT name FROM documents WHERE name <> 'chat'")]
        rows.put(inside[0], b"alone", 60, None)
        assert rows.list_documents("a", "") == [("name", Document(b"collected", 1))]
        assert rows.get(inside[0]) == Document(b"alone", 1)


def test_a_collection_is_listed_without_a_sort(path: Path) -> None:
    """A page costs as much as its documents, however many documents there are."""
    with closing(open_file(path)) as db:
        rows = Rows(db, LIMITS, Clock())
        asked: list[str] = []
        db.set_trace_callback(asked.append)
        rows.list_documents("a", "")
        db.set_trace_callback(None)
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {asked[0]}")]
    assert len(plan) == 1
    assert "sqlite_autoindex_documents_1 (name>? AND name<?)" in plan[0]
