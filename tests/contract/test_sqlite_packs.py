"""Packs in a SQLite file: one row for each append, and three statements for many appends at once."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncGenerator, Awaitable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.entries import Entry
from headwater.errors import Fenced, LogFull, NoSuchLog, OutOfSequence, Sealed, StoreError
from headwater.events import TextDelta
from headwater.log.packs import PACK, packed
from headwater.log.sqlite.file import open_file
from headwater.log.sqlite.lock import FileLock
from headwater.log.sqlite.packs import Sizes
from headwater.log.sqlite.rows import Rows
from headwater.log.sqlite.store import SqliteStore
from headwater.log.sqlite.thread import SqliteThread
from headwater.log.store import Lease, Limits, Receipt
from headwater.offsets import ORIGIN, Offset
from headwater.testing.contract import LIMITS, Clock
from headwater.testing.contract_harness import ALICE, TTL, WHOLE, entries, entry, run, texts


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs.db"


@pytest.fixture
async def store(path: Path) -> AsyncGenerator[SqliteStore, None]:
    store = SqliteStore(path)
    yield store
    await store.aclose()


def rows_in(path: Path) -> list[tuple[int, int]]:
    """The first and last sequence of each row."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT first, last FROM packs ORDER BY log, first").fetchall()


async def test_an_append_is_one_row(store: SqliteStore, path: Path) -> None:
    """An append is one row, however many entries it has; of a retry only the new entries are stored."""
    lease = await store.open("log", ALICE, ttl=TTL)
    for begin, letters in ((1, "abc"), (2, "bcd"), (4, "d"), (4, "de")):
        await store.append(run(*letters, begin=begin), lease)
    await store.seal([*run("e", "f", begin=5), entry(7, WHOLE)], lease)
    assert rows_in(path) == [(1, 3), (4, 4), (5, 5), (6, 7)]
    assert await texts(store, "log") == list("abcdef")


async def test_a_large_append(store: SqliteStore, path: Path) -> None:
    """An append larger than a pack takes several rows, and is read back in pages that are not larger either."""
    large = run(*("x" * (PACK // 3) + str(i) for i in range(20)))
    lease = await store.open("log", ALICE, ttl=TTL)
    await store.append(large, lease)
    assert rows_in(path) == [(pack.first, pack.last) for pack in packed(large)]
    sizes: list[int] = []
    got: list[Entry] = []
    async for page in store.read("log", follow=False):
        sizes.append(sum(len(each.data) for each in page))
        got += page
    assert got == large
    assert max(sizes) <= 2 * PACK


async def test_an_entry_of_two_lines(store: SqliteStore) -> None:
    """An entry with a newline is refused, because entries are lines and it would come back as two."""
    lease = await store.open("log", ALICE, ttl=TTL)
    broken = msgspec.structs.replace(entry(1, TextDelta("a")), data=b"[1,\n2]")
    with pytest.raises(StoreError, match="newline"):
        await store.append([broken], lease)
    assert await texts(store, "log") == []


async def test_a_thousand_logs_at_once(store: SqliteStore) -> None:
    """A thousand answers at the same moment are all stored, each whole and in order."""
    parts = [run(*(f"word {i} " for i in range(begin, begin + 80)), begin=begin) for begin in range(1, 401, 80)]
    leases = await asyncio.gather(*(store.open(f"log {i}", ALICE, ttl=TTL) for i in range(1000)))

    async def write(lease: Lease) -> None:
        for part in parts:
            await store.append(part, lease)

    await asyncio.gather(*(write(lease) for lease in leases))
    whole = [each for part in parts for each in part]
    for lease in leases:
        assert (await store.describe(lease.log)).last == Offset(1, 400)
    for lease in leases[::10]:
        assert await entries(store, lease.log, follow=False) == whole


class Traced:
    """A writing thread, and the SQL statements it has run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.statements: list[str] = []
        self.thread = SqliteThread(path, self._connect, FileLock(path))

    def _connect(self) -> Rows:
        rows = Rows(open_file(self._path), LIMITS, Clock())
        rows.db.set_trace_callback(self.statements.append)
        return rows

    async def at_once(self, *calls: Awaitable[Any]) -> list[Any]:
        """The results of calls that wait at the same time, and so are done in one transaction."""
        began, gate = threading.Event(), threading.Event()

        def wait(_: Rows) -> None:
            began.set()
            gate.wait()

        first = asyncio.create_task(self.thread.do(wait))
        await asyncio.to_thread(began.wait)
        others = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0)  # they queue their steps
        self.statements.clear()
        gate.set()
        await first
        return await asyncio.gather(*others, return_exceptions=True)


@pytest.fixture
async def traced(path: Path) -> AsyncGenerator[Traced, None]:
    traced = Traced(path)
    yield traced
    await traced.thread.aclose()


async def test_many_appends_are_two_statements(traced: Traced) -> None:
    """Appends to fifty logs at once take two SQL statements, because each contends for the interpreter lock.

    A third finds for all of them who is read elsewhere.
    """
    do = traced.thread.do
    leases = [await do(Rows.open, f"log {i}", ALICE, ttl=TTL) for i in range(50)]
    for begin in (1, 4):
        assert await traced.at_once(*(do(Rows.append, run(*"abc", begin=begin), each) for each in leases)) == (
            [Receipt(readers=False)] * 50
        )
        words = [statement.split()[0] for statement in traced.statements[1:]]
        assert words == ["BEGIN", "UPDATE", "INSERT", "SELECT", "COMMIT"]
    pages = [await do(Rows.page, each.log, ORIGIN) for each in leases]
    assert all(page.entries == run(*"abcabc") for page in pages)
    assert {pulse.beat for pulse in (await do(Rows.pulses)).values()} == {2}


async def test_each_of_many_appends_has_its_own_answer(traced: Traced) -> None:
    """Among ordinary appends, an append of any other kind gets the answer it would get alone, and undoes none."""
    do = traced.thread.do
    leases = [await do(Rows.open, f"log {i}", ALICE, ttl=TTL) for i in range(16)]
    for lease in leases:
        await do(Rows.append, run("a"), lease)
    await do(Rows.stop, "log 1", "alice")
    await do(Rows.seal, [entry(2, WHOLE)], leases[2])
    calls = [(run("b", begin=2), lease) for lease in leases]
    calls[3] = (run("a", "b"), leases[3])  # a retry in part
    calls[4] = (run("c", begin=3), leases[4])
    calls[5] = (run("x" * LIMITS.bytes, begin=2), leases[5])
    calls[6] = (run("b", begin=2), Lease("log 6", 2))
    calls[7] = (run("b", begin=2), Lease("unknown"))
    calls[8] = ([], leases[8])
    calls[9] = (run(*["x" * 60_000] * 5, begin=2), leases[9])  # of several packs
    calls[10] = (run("x"), leases[10])  # not the entry that is stored there
    calls[11] = (run("b", begin=2), Lease("half \ud83d"))  # no text that SQLite takes
    calls.append((run("b", begin=2), leases[15]))  # the same append, twice
    answers = await traced.at_once(*(do(Rows.append, *call) for call in calls))
    kinds = {
        2: Sealed,
        4: OutOfSequence,
        5: LogFull,
        6: Fenced,
        7: NoSuchLog,
        10: OutOfSequence,
        11: UnicodeEncodeError,
    }
    for i, answer in enumerate(answers):
        assert isinstance(answer, kinds.get(i, Receipt)), (i, answer)
    assert [i for i, answer in enumerate(answers) if isinstance(answer, Receipt) and answer.stop] == [1]
    lengths = [(await do(Rows.describe, each.log)).last.sequence for each in leases]
    assert lengths == [2, 2, 2, 2, 1, 1, 1, 1, 1, 6, 1, 1, 2, 2, 2, 2]


async def test_nothing_is_kept_twice_or_in_part(traced: Traced) -> None:
    """When a step fails after it changed rows, the other steps of its transaction are done exactly once."""
    do = traced.thread.do
    leases = [await do(Rows.open, f"log {i}", ALICE, ttl=TTL) for i in range(8)]

    def half(rows: Rows) -> None:
        rows.append(run("x"), Lease("log 7"))
        raise ValueError("half-way")

    appends = [do(Rows.append, run("a"), lease) for lease in leases[:6]]
    answers = await traced.at_once(*appends, do(half), do(Rows.open, "new", ALICE, ttl=TTL))
    assert answers[:6] == [Receipt(readers=False)] * 6
    assert isinstance(answers[6], ValueError)
    assert answers[7] == Lease("new")
    found = [(await do(Rows.page, lease.log, ORIGIN)).entries for lease in leases]
    assert found == [run("a")] * 6 + [[], []]


@pytest.fixture
def rows(path: Path) -> Generator[Rows, None, None]:
    """The tables, with packs and pages so small that a few entries take several."""
    rows = Rows(open_file(path), Limits(), Clock(), Sizes(page=5, read=300, pack=150))
    yield rows
    rows.db.close()


FINE = [HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]


@settings(max_examples=60, deadline=None, suppress_health_check=FINE)
@given(data=st.data())
def test_any_split_into_packs_reads_the_same(rows: Rows, data: st.DataObject) -> None:
    """However entries are split into appends, and whatever is retried, the log is the same from every offset."""
    words = data.draw(st.lists(st.text(max_size=40), max_size=20))
    written = [*run(*words), entry(len(words) + 1, WHOLE)]
    log = f"log {rows.db.execute('SELECT count(*) FROM logs').fetchone()[0]}"
    lease = rows.open(log, ALICE, ttl=TTL)
    done = 0
    while done < len(words):
        begin, end = data.draw(st.integers(0, done)), data.draw(st.integers(done + 1, len(words)))
        rows.append(written[begin:end], lease)
        done = end
    for _ in range(2):
        rows.seal(written[data.draw(st.integers(0, done)) :], lease)
    for after in [ORIGIN, *(each.offset for each in written)]:
        got: list[Entry] = []
        while page := rows.page(log, got[-1].offset if got else after).entries:
            assert len(page) <= 5
            got += page
        assert got == written[after.sequence :]
