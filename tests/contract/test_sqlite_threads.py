"""The threads between the event loop and the file: the one that runs steps, and the one that watches."""

import asyncio
import gc
import threading
import weakref
from pathlib import Path

import pytest

from headwater.errors import StoreError
from headwater.log.sqlite.row import Pulse
from headwater.log.sqlite.rows import Rows
from headwater.log.sqlite.store import SqliteStore
from headwater.log.sqlite.thread import SqliteThread
from headwater.log.store import Lease, Limits
from headwater.testing.contract import LIMITS, Clock
from headwater.testing.contract_harness import ALICE, TEST_TIMEOUT, TTL, WHOLE, entry, until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs.db"


class Words:
    """The argument of a step."""


async def test_no_more_steps_wait_than_there_are_places(tmp_path: Path) -> None:
    """While the disk hangs, the steps of callers that gave up are bounded, and do not pile up in memory."""
    answers = threading.Event()
    waiting: weakref.WeakSet[Words] = weakref.WeakSet()

    def connect() -> Rows:
        answers.wait(TEST_TIMEOUT)
        raise StoreError("the disk is back, and empty")

    def write(_: Rows, __: Words) -> None: ...

    thread = SqliteThread(tmp_path / "logs.db", connect, places=4, answer_within=0.05)

    async def give_up() -> None:
        waiting.add(words := Words())
        with pytest.raises(StoreError, match="has not answered"):
            await thread.do(write, words)

    for _ in range(20):
        await asyncio.create_task(give_up())
    gc.collect()
    assert 0 < len(waiting) <= 4
    answers.set()
    await thread.aclose()


async def test_a_row_that_should_not_be_there(path: Path) -> None:
    """A step that violates a constraint, because an expired row was not swept yet, fails no other step."""
    clock = Clock()
    store = SqliteStore(path, Limits(grace=1, tombstone=1), clock)
    lease = await store.open("log", ALICE, ttl=1)
    await store.seal([entry(1, WHOLE)], lease)
    clock.now += 60
    _, other = await asyncio.gather(
        store.open("log", ALICE, ttl=TTL), store.open("other", ALICE, ttl=TTL), return_exceptions=True
    )
    assert isinstance(other, Lease)
    await store.aclose()


async def test_a_log_that_is_opened_while_others_are_looked_at(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that begins to listen in the middle of a look is not woken as if its log were gone."""
    store, peer = SqliteStore(path, LIMITS), SqliteStore(path, LIMITS)
    pulses, loop = Rows.pulses, asyncio.get_running_loop()
    looks = 0
    woken: list[str] = []

    async def begin() -> None:
        store.listen(await store.open("log", ALICE, ttl=TTL), lambda: woken.append("log"))

    def late(rows: Rows) -> dict[str, Pulse]:
        nonlocal looks
        found = pulses(rows)
        looks += 1
        if looks == 1:
            asyncio.run_coroutine_threadsafe(begin(), loop).result(TEST_TIMEOUT)
        return found

    monkeypatch.setattr(Rows, "pulses", late)
    await store.open("first", ALICE, ttl=TTL)
    await until(lambda: looks > 1)  # a look later, so that wake-ups of the first one have arrived
    assert woken == []
    await peer.forget("log")
    await until(lambda: woken == ["log"])
    await peer.aclose()
    await store.aclose()
