"""Processes that are killed, or only stopped, while they write logs of one SQLite file; others go on with the logs."""

import asyncio
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from headwater.entries import Entry
from headwater.events import Continued, Error, Finish, TextDelta
from headwater.log.logs import Logs
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Abandoned, Limits
from headwater.offsets import Offset
from headwater.testing.contract_harness import ALICE, LIMITS, QUICK, TTL, WHOLE, entries, entry, reading, until

SCRIPT = Path(__file__).with_name("takeover_process.py")
SEAM = Continued("server", "prefill", "1-1", rewind="1-1")
NOTICED = 1.0
"""Seconds in which a death must be noticed. It takes a fifth of them, and the lease is five times as long."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs.db"


@asynccontextmanager
async def process(path: Path, command: str, *logs: str, ready: bool = True) -> AsyncGenerator[Process, None]:
    """Run another process on the file, and wait until it is ready; it is killed when the context ends."""
    other = await asyncio.create_subprocess_exec(sys.executable, SCRIPT, path, command, *logs, stdout=PIPE)
    try:
        if ready:
            assert await line(other) == "ready"
        yield other
    finally:
        if other.returncode is None:
            other.kill()
        await other.wait()


async def line(other: Process) -> str:
    """The next line that it prints."""
    assert other.stdout is not None
    async with asyncio.timeout(20):
        return (await other.stdout.readline()).decode().strip()


@asynccontextmanager
async def opened(path: Path, limits: Limits = LIMITS) -> AsyncGenerator[SqliteStore, None]:
    store = SqliteStore(path, limits)
    yield store
    await store.aclose()


async def abandonment(store: SqliteStore, log: str) -> Abandoned:
    """What a successor learns, once the store has noticed."""
    found: list[Abandoned] = []

    async def noticed() -> bool:
        found.extend(each for each in [await store.abandoned(log)] if each is not None)
        return bool(found)

    await until(noticed)
    return found[0]


def offsets(got: list[Entry]) -> list[Offset]:
    return [each.offset for each in got]


async def test_a_killed_process_is_noticed_at_once(path: Path) -> None:
    """Its answer goes on in the same log, behind all that was stored of it; a reader gets it whole, across the seam."""
    async with opened(path) as store, process(path, "answer", "log") as other:
        told: list[str] = []
        store.watch_abandoned(told.append)
        task, got = await reading(store, "log")
        ahead, _ = await reading(store, "log", Offset(1, 900))
        await until(lambda: len(got) > 5)
        assert told == []
        other.kill()
        await until(lambda: told == ["log"], within=NOTICED)
        found = await store.abandoned("log")
        assert found is not None
        assert (found.epoch, found.recovery) == (1, b"recovery")
        lease = await store.take_over([entry(found.last + 1, SEAM, 2)], "log")
        await store.seal([entry(found.last + 2, WHOLE, 2)], lease)
        end = [Offset(2, found.last + 1), Offset(2, found.last + 2)]
        assert offsets(await task) == [*(Offset(1, each + 1) for each in range(found.last)), *end]
        assert offsets(await ahead) == end


async def test_a_killed_process_without_a_recovery(path: Path) -> None:
    """A log without a recovery ends `lost` as fast, and its name is free."""
    async with opened(path) as store, process(path, "plain", "log") as other:
        task, got = await reading(store, "log")
        await until(lambda: len(got) > 5)
        other.kill()
        async with asyncio.timeout(NOTICED):
            ending = (await task)[-1].event
        assert isinstance(ending, Error)
        assert ending.code == "lost"


async def test_a_stopped_process_comes_back_too_late(path: Path) -> None:
    """A process that stands still keeps its lock, so the lease decides; nothing it writes later gets into the log."""
    async with opened(path, QUICK) as store, process(path, "answer", "log") as other:
        begin = time.monotonic()
        other.send_signal(signal.SIGSTOP)
        found = await abandonment(store, "log")
        assert time.monotonic() - begin > QUICK.lease / 2
        lease = await store.take_over([entry(found.last + 1, SEAM, 2)], "log")
        other.send_signal(signal.SIGCONT)
        assert await line(other) == "fenced"
        await store.seal([entry(found.last + 2, WHOLE, 2)], lease)
        got = await entries(store, "log")
        assert [each.event for each in got[found.last :]] == [SEAM, WHOLE]
        assert {each.offset.epoch for each in got[: found.last]} == {1}


async def test_a_process_that_is_late_by_less_than_a_takeover(path: Path) -> None:
    """A process that stands still and comes back before anybody took over goes on, and loses nothing."""
    async with opened(path, QUICK) as store, process(path, "answer", "log") as other:
        other.send_signal(signal.SIGSTOP)
        found = await abandonment(store, "log")
        other.send_signal(signal.SIGCONT)

        async def went_on() -> bool:
            return (await store.describe("log")).last > Offset(1, found.last + 3)

        await until(went_on)
        assert await store.abandoned("log") is None


async def test_a_writer_that_was_succeeded_is_woken(path: Path) -> None:
    """It learns at once that it must look, and need not wait for its next heartbeat."""
    async with opened(path) as store, opened(path) as peer:
        lease = await store.open("log", ALICE, ttl=TTL, recovery=b"r")
        woken = asyncio.Event()
        cease = store.listen(lease, woken.set)
        await store.release(lease)
        await peer.take_over([entry(1, SEAM, 2)], "log")
        async with asyncio.timeout(1):
            await woken.wait()
        cease()


async def test_eight_processes_race_for_a_hundred_logs(path: Path) -> None:
    """Each log is continued by exactly one of them."""
    logs = [f"log-{i}" for i in range(100)]
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(opened(path))
        other = await stack.enter_async_context(process(path, "answer", *logs))
        heirs = await asyncio.gather(*(stack.enter_async_context(process(path, "succeed")) for _ in range(8)))
        other.kill()
        await asyncio.gather(*(until_finished(store, log) for log in logs))
        for log in logs:
            got = await entries(store, log)
            assert [each.offset.sequence for each in got] == list(range(1, len(got) + 1))
            assert sum(isinstance(each.event, Continued) for each in got) == 1
            assert [each.offset.epoch for each in got[-3:]] == [1, 2, 2]
        assert all(heir.returncode is None for heir in heirs)


async def until_finished(store: SqliteStore, log: str) -> None:
    async with asyncio.timeout(20):
        async for page in store.read(log, Offset(1, 100_000)):
            assert isinstance(page[-1].event, Continued | Finish)


async def test_a_successor_is_killed_before_its_first_token(path: Path) -> None:
    """Its seam stays, the next one follows, and a reader who was there all the time sees both, in order."""
    async with opened(path) as store, process(path, "answer", "log") as first:
        logs = Logs(store)
        reader = asyncio.create_task(read(logs))
        async with process(path, "begin", ready=False) as second:
            first.kill()
            assert await line(second) == "ready"
            second.kill()
            found = await abandonment(store, "log")
            assert found.epoch == 2
            lease = await store.take_over([entry(found.last + 1, SEAM, 3)], "log")
        await store.append([entry(found.last + 2, TextDelta("x"), 3)], lease)
        await store.seal([entry(found.last + 3, WHOLE, 3)], lease)
        got = await reader
        assert [each.offset.sequence for each in got] == list(range(1, found.last + 4))
        assert [each.offset.epoch for each in got if isinstance(each.event, Continued)] == [2, 3]
        beyond = await entries(store, "log", Offset(2, 9999))
        assert offsets(beyond) == [Offset(3, found.last + i) for i in (1, 2, 3)]


async def read(logs: Logs) -> list[Entry]:
    async with asyncio.timeout(20):
        return [each async for page in logs.read("log") for each in page]
