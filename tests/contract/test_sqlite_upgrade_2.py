"""A SQLite file of form 2 is converted in place, and shared with processes of that version that still run."""

import sqlite3
from collections.abc import AsyncGenerator, Generator
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_form_1 import LOGS
from sqlite_form_2 import APPEND, BEAT, CLOSE, OPEN, form_2

from headwater.errors import Fenced
from headwater.events import Error, TextDelta
from headwater.log.sqlite.file import VERSION
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Lease
from headwater.offsets import Offset
from headwater.testing.contract_harness import ALICE, LIMITS, QUICK, TTL, WHOLE, entries, entry, run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "logs.db"
    form_2(path)
    return path


@pytest.fixture
async def store(path: Path) -> AsyncGenerator[SqliteStore, None]:
    store = SqliteStore(path, QUICK)
    yield store
    await store.aclose()


@pytest.fixture
def old(path: Path) -> Generator[sqlite3.Connection, None, None]:
    """The connection of a process of that version, which has the file open when it is converted."""
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.execute("SELECT * FROM logs").fetchall()
        yield old


async def test_what_was_in_it(path: Path) -> None:
    """Every log reads as it was written, from everywhere; a writer goes on; and a new log can have a recovery."""
    store = SqliteStore(path, LIMITS)
    for log, (_, written) in LOGS.items():
        assert await entries(store, log, follow=False) == written
    assert await entries(store, "lost", Offset(1, 9)) == LOGS["lost"][1][-1:]
    await store.append(run("c", "d", begin=3), Lease("open"))
    await store.seal([entry(5, WHOLE)], Lease("open"))
    lease = await store.open("next", ALICE, ttl=TTL, recovery=b"r")
    await store.release(lease)
    assert (await store.abandoned("next")) is not None
    await store.aclose()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)


async def test_a_process_of_before_goes_on_beside_a_new_one(store: SqliteStore, old: sqlite3.Connection) -> None:
    """It opens and writes logs as before; they have no owner, so their leases decide."""
    await store.check()
    old.execute(OPEN, ("theirs",))
    old.execute(APPEND, (run("a")[0].data, "theirs"))
    old.execute(BEAT, ("theirs",))
    got = await entries(store, "theirs")
    assert got[0].event == TextDelta("a")
    assert isinstance(got[1].event, Error)


async def test_a_process_of_before_ends_what_could_go_on(store: SqliteStore, old: sqlite3.Connection) -> None:
    """It knows of no takeover, and seals an abandoned log: nobody continues it then, and its recovery is gone."""
    lease = await store.open("log", ALICE, ttl=TTL, recovery=b"r")
    await store.append(run("a"), lease)
    await store.release(lease)
    old.execute(CLOSE, ("log",))
    assert await store.abandoned("log") is None
    with pytest.raises(Fenced):
        await store.append(run("b", begin=2), lease)
    assert old.execute("SELECT count(*) FROM recoveries").fetchone() == (0,)
