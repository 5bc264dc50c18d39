"""A SQLite file of an earlier form is converted when it is opened, and loses nothing."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_form_1 import LOGS, form_1

from headwater.errors import Expired, StoreError
from headwater.events import Error, TextDelta
from headwater.log.packs import PACK
from headwater.log.sqlite import upgrade as sqlite_upgrade
from headwater.log.sqlite.file import VERSION, open_file
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Lease
from headwater.offsets import Offset
from headwater.testing.contract import LIMITS, QUICK
from headwater.testing.contract_harness import ALICE, BOB, TTL, WHOLE, entries, entry, run, texts


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "logs.db"
    form_1(path)
    return path


@pytest.fixture
async def store(path: Path) -> AsyncGenerator[SqliteStore, None]:
    store = SqliteStore(path, LIMITS)
    yield store
    await store.aclose()


@pytest.mark.parametrize("log", LOGS)
async def test_every_entry_is_still_there(store: SqliteStore, log: str) -> None:
    """Each log reads as it was written, bytes, times and epochs included, from every offset."""
    _, written = LOGS[log]
    for n in range(0, len(written) + 1, 1 + len(written) // 20):
        after = Offset(1, n) if n < len(written) or log != "lost" else written[-1].offset
        assert await entries(store, log, after, follow=False) == written[n:]


async def test_an_offset_ahead_of_a_lost_log(store: SqliteStore) -> None:
    """A reader that the dead writer had served from memory, beyond what was stored, gets the `lost` ending."""
    assert await entries(store, "lost", Offset(1, 9)) == LOGS["lost"][1][-1:]


async def test_what_is_known_of_logs_and_names(store: SqliteStore) -> None:
    """A bound name is a hit, a live log is joined, a deleted log is `Expired`, and a constant keeps its value."""
    hit = await store.claim("name", "next", BOB, ttl=TTL)
    assert (hit.won, hit.log, hit.state) == (False, "whole", "finished")
    joined = await store.claim("live", "next", BOB, ttl=TTL)
    assert (joined.won, joined.log, joined.state) == (False, "open", "open")
    assert not await store.stop("open", "alice")  # a subject in the file; the other one has just joined
    assert await store.constant("secret", b"other") == b"\x00\xff"
    with pytest.raises(Expired):
        await store.describe("gone")
    for log, (state, written) in LOGS.items():
        found = await store.describe(log)
        assert (found.state, found.last) == (state, written[-1].offset if written else (0, 0))


async def test_a_writer_goes_on(store: SqliteStore) -> None:
    """An open log takes appends, among them a retry of entries from before the conversion, and its ending."""
    lease = Lease("open")
    await store.append(run("b", "c", "d", begin=2), lease)
    with pytest.raises(StoreError):
        await store.append(run("x", begin=3), lease)
    await store.seal([entry(5, WHOLE)], lease)
    assert await texts(store, "open") == ["a", "b", "c", "d"]
    await store.seal([entry(1, WHOLE)], Lease("new"))
    assert (await store.find("name", BOB)) is not None


async def test_few_rows_remain(store: SqliteStore, path: Path) -> None:
    """Rows of single entries become as few packs as possible, and the old table is gone."""
    await store.describe("whole")
    with closing(sqlite3.connect(path)) as db:
        counts = db.execute("SELECT log, count(*), max(length(data)) <= ? FROM packs GROUP BY log", (PACK,)).fetchall()
        assert counts == [(1, 1, 1), (2, 2, 1), (3, 2, 1), (4, 1, 1)]
        assert db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'entries'").fetchone() is None
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)


async def test_the_disk_is_not_held_twice(path: Path) -> None:
    """After the conversion the entries are in the file, and no longer in the WAL as well."""
    with closing(open_file(path)):
        assert path.with_name("logs.db-wal").stat().st_size == 0


async def test_many_open_it_at_once(path: Path) -> None:
    """Of many connections that open the file at once, one converts it, once."""
    assert set(await asyncio.gather(*(asyncio.to_thread(_logs_in, path) for _ in range(8)))) == {4}
    store = SqliteStore(path, LIMITS)
    assert await entries(store, "whole") == LOGS["whole"][1]
    await store.aclose()


def _logs_in(path: Path) -> int:
    with closing(open_file(path)) as db:
        count: int = db.execute("SELECT count(DISTINCT log) FROM packs").fetchone()[0]
        return count


async def test_it_breaks_off_half_way(store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversion that fails leaves the file as it was, and the next one does it all."""
    with monkeypatch.context() as patched:
        patched.setattr(sqlite_upgrade, "insert", _fail)
        with pytest.raises(StoreError, match="half-way"):
            await store.describe("whole")
        with closing(sqlite3.connect(path)) as db:
            tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            assert "entries" in tables
            assert "packs" not in tables
            assert db.execute("PRAGMA user_version").fetchone() == (1,)
    assert await entries(store, "whole") == LOGS["whole"][1]


def test_a_failed_conversion_keeps_no_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversion that failed has released the file, although its error is still referenced: the next one succeeds."""
    with monkeypatch.context() as patched:
        patched.setattr(sqlite_upgrade, "insert", _fail)
        with pytest.raises(StoreError) as failure:
            open_file(path)
    with closing(open_file(path)):
        assert path.with_name("logs.db-wal").stat().st_size == 0  # nothing kept the checkpoint from finishing
    assert "half-way" in str(failure.value)


def _fail(*_: object) -> None:
    raise sqlite3.OperationalError("half-way")


async def test_a_process_of_before_that_still_runs(path: Path) -> None:
    """A process of the earlier version gets an error when it writes; its log then ends `lost`, and its name is free."""
    store = SqliteStore(path, QUICK)
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.execute("SELECT count(*) FROM entries").fetchone()
        await store.constant("a", b"b")
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            old.execute("INSERT INTO entries VALUES (4, 4, 1, X'00')")
    *before, ending = await entries(store, "open")
    assert before == LOGS["open"][1]
    assert isinstance(ending.event, Error)
    assert (await store.claim("live", "next", BOB, ttl=TTL)).won
    await store.aclose()


async def test_damage_done_before(tmp_path: Path) -> None:
    """An entry that was damaged or missing before is an error for its readers, and for no other log."""
    broken, holed = run("a", "b", "c"), run("a", "b", "c")
    del holed[1]
    path = tmp_path / "damaged.db"
    form_1(path, {**LOGS, "broken": ("open", broken), "holed": ("open", holed)})
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE entries SET data = X'5B0A5D' WHERE sequence = 2 AND log = 6")  # with a newline in it
        db.commit()
    store = SqliteStore(path, LIMITS)
    for log in ("broken", "holed"):
        with pytest.raises(StoreError, match="cannot be read"):
            await entries(store, log, follow=False)
        assert [each.event for each in await entries(store, log, Offset(1, 2), follow=False)] == [TextDelta("c")]
    assert await entries(store, "whole") == LOGS["whole"][1]
    assert (await store.claim("another", "next", ALICE, ttl=TTL)).won
    await store.aclose()
