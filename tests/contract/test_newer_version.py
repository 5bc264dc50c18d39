"""A store shared with a newer version of Headwater: its entries come back as it stored them, and no reader hangs.

Entries whose bytes no code here would write stand for the newer version.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest
from redis_servers import Server, engines, serving
from upstash_double import UpstashDouble

from headwater.answer import fold
from headwater.entries import Entry, json_of, record, restore
from headwater.events import Error, Event, Finish, Start, TextDelta, Unknown
from headwater.log.logs import Logs
from headwater.log.memory import MemoryStore
from headwater.log.redis.store import RedisStore
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Lease, Store
from headwater.log.upstash.store import UpstashStore
from headwater.offsets import ORIGIN, Offset
from headwater.testing.contract import LIMITS
from headwater.testing.contract_harness import ALICE, TEST_TIMEOUT, TTL, entries, until

START = record(Offset(1, 1), 0.0, Start("m", "x")).data
SOURCE = b'[1,0.1,{"type":"source","url":"https://example.org/\xc3\xa9\\u2028"}]'
MARKED = b'[1,0.2,{"type":"text-delta","text":"a","language":"en"}]'
TRACED = b'[2,0.3,{"type":"text-delta","text":"b"},{"trace":7}]'
STEP = b'[2,0.4,{"type":"step","n":1},{"trace":8}]'
FINISH = b'[2,0.5,{"type":"finish","reason":"stop","mood":"good"},{"trace":9}]'
PAUSE = b'[2,0.5,{"type":"pause","until":"tomorrow"},{"trace":9}]'
"""An ending of an unknown type. No version should ever write one."""

WHOLE = (START, SOURCE, MARKED, TRACED, STEP, FINISH)
PAUSED = (START, SOURCE, MARKED, TRACED, STEP, PAUSE)


@pytest.fixture
def valkey() -> Generator[Server, None, None]:
    with serving(engines()[0]) as server:
        yield server


Stores = tuple[Store, Store]
"""The store as a newer and as an older server open it."""


@pytest.fixture
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Stores, None]:
    newer = _open(request, tmp_path)
    older = newer if isinstance(newer, MemoryStore) else _open(request, tmp_path)
    yield newer, older
    await newer.aclose()
    await older.aclose()


def _open(request: pytest.FixtureRequest, folder: Path) -> Store:
    match request.param:
        case "memory":
            return MemoryStore(LIMITS)
        case "sqlite":
            return SqliteStore(folder / "logs.db", LIMITS)
        case "valkey":
            server: Server = request.getfixturevalue("valkey")
            return RedisStore(server.url, LIMITS)
        case _:
            upstash: UpstashDouble = request.getfixturevalue("upstash")
            return UpstashStore(upstash.url, upstash.token, LIMITS)


all_stores = pytest.mark.parametrize("stores", ["memory", "sqlite", "valkey", "upstash"], indirect=True)
shared_stores = pytest.mark.parametrize("stores", ["sqlite", "valkey", "upstash"], indirect=True)


def log(lines: Sequence[bytes], ending: Event | None = None) -> list[Entry]:
    """The entries of these lines. The newer version knows its own ending; here a plain one stands for it."""
    made = [restore(Offset(1, sequence), line) for sequence, line in enumerate(lines, 1)]
    if ending is not None:
        made[-1] = Entry(made[-1].offset, made[-1].at, ending, made[-1].data)
    return made


async def written(store: Store, whole: Sequence[Entry]) -> None:
    """Store a log in two appends and a seal."""
    lease = await store.open("log", ALICE, ttl=TTL)
    await store.append(whole[:2], lease)
    await store.append(whole[2:-1], lease)
    await store.seal(whole[-1:], lease)


async def read(logs: Logs, after: Offset = ORIGIN, *, follow: bool = True) -> list[Entry]:
    async with asyncio.timeout(TEST_TIMEOUT), aclosing(logs.read("log", after, follow=follow)) as pages:
        return [entry async for page in pages for entry in page]


@all_stores
async def test_entries_of_a_newer_version_come_back_as_they_were_stored(stores: Stores) -> None:
    """From every offset on; what is known of them is read, and nothing of their bytes is lost."""
    newer, older = stores
    whole = log(WHOLE)
    await written(newer, whole)

    for begin in range(len(whole)):
        found = await entries(older, "log", whole[begin - 1].offset if begin else ORIGIN)
        assert [(entry.offset, entry.data) for entry in found] == [
            (entry.offset, entry.data) for entry in whole[begin:]
        ]
        assert found == whole[begin:]
    found = await entries(older, "log")
    assert [type(entry.event) for entry in found] == [Start, Unknown, TextDelta, TextDelta, Unknown, Finish]
    assert json_of(found[1]) == SOURCE[7:-1]
    assert json_of(found[4]) == b'{"type":"step","n":1}'
    assert json_of(found[5]) == b'{"type":"finish","reason":"stop","mood":"good"}'
    assert (fold(found).text, fold(found).state) == ("ab", "finished")
    assert (await older.describe("log")).state == "finished"


@all_stores
async def test_a_reader_follows_a_log_that_a_newer_version_writes(stores: Stores) -> None:
    """Also where each flush ends in an event that the reader does not know."""
    newer, older = stores
    got: list[Entry] = []

    async def follow() -> None:
        async with aclosing(Logs(older).read("log")) as pages:
            async for page in pages:
                got.extend(page)

    whole = log(WHOLE)
    lease = await newer.open("log", ALICE, ttl=TTL)
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(4 * TEST_TIMEOUT):
        tasks.create_task(follow())
        for begin, end in ((0, 2), (2, 5)):
            await newer.append(whole[begin:end], lease)
            await until(lambda end=end: len(got) == end)
        await newer.seal(whole[5:], lease)
    assert got == whole


@all_stores
async def test_an_open_log_that_ends_in_an_unknown_event_is_open(stores: Stores) -> None:
    """Nothing is added to what there is."""
    newer, older = stores
    whole = log(WHOLE)
    lease = await newer.open("log", ALICE, ttl=TTL)
    await newer.append(whole[:5], lease)

    assert await read(Logs(older), follow=False) == whole[:5]
    assert fold(await read(Logs(older), follow=False)).state == "open"


@shared_stores
async def test_a_log_that_ends_in_an_unknown_event_never_looks_finished_and_never_hangs(stores: Stores) -> None:
    """Readers get the event, which a newer client may know, then an error that is no entry of the log."""
    newer, older = stores
    whole = log(PAUSED, ending=Finish("stop"))
    lease: Lease = await newer.open("log", ALICE, ttl=TTL)
    following = asyncio.create_task(read(Logs(older)))
    await newer.append(whole[:-1], lease)
    await newer.seal(whole[-1:], lease)

    for found in (await following, await read(Logs(older)), await read(Logs(older), follow=False)):
        assert [entry.data for entry in found[:-1]] == list(PAUSED)
        assert isinstance(found[-2].event, Unknown)
        error = found[-1].event
        assert isinstance(error, Error)
        assert (error.code, found[-1].offset, found[-1].data) == ("newer_version", whole[-1].offset, b"")
        assert (fold(found).state, fold(found).text) == ("failed", "ab")
    assert [entry.offset for entry in await read(Logs(older), whole[4].offset)] == [whole[5].offset] * 2
    assert await read(Logs(older), whole[5].offset) == []
    assert (await older.describe("log")).state == "finished"
