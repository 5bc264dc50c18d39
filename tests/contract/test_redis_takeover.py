"""Abandoned logs on Redis, a cluster and Upstash, among processes: one successor each, and no entry of a zombie."""

import asyncio
import secrets
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from redis_servers import Engine, Proxy, Server, clustered, engines, serving
from upstash_double import upstash_double

from headwater.errors import Fenced
from headwater.events import Continued, TextDelta
from headwater.log.lua.script import key
from headwater.log.redis.store import RedisStore
from headwater.log.store import Lease, Limits, Store, Terms
from headwater.log.upstash.store import UpstashStore
from headwater.offsets import Offset
from headwater.testing.contract import LIMITS, QUICK
from headwater.testing.contract_harness import ALICE, TTL, WHOLE, entries, entry, reading, run, until

SCRIPT = Path(__file__).with_name("heir_process.py")
HEIRS, LOGS = 8, 100
SEAM = Continued("server", "prefill", "1-2")
RECOVERY = b"prompt"


class Water(NamedTuple):
    """A store that runs, as a process of its own reaches it; a token of `-` stands for Redis."""

    url: str
    token: str = "-"

    def open(self, limits: Limits) -> Store:
        return RedisStore(self.url, limits) if self.token == "-" else UpstashStore(self.url, self.token, limits)


@pytest.fixture(scope="module", params=[*(engine.name for engine in engines()), "cluster", "upstash"])
def water(request: pytest.FixtureRequest) -> Generator[Water, None, None]:
    if request.param == "upstash":
        with upstash_double() as double:
            yield Water(double.url, double.token)
    elif request.param == "cluster":
        with clustered(engines()[0]) as servers:
            yield Water(servers[0].url.replace("redis://", "redis+cluster://"))
    else:
        with serving(next(engine for engine in engines() if engine.name == request.param)) as server:
            yield Water(server.url)


@pytest.fixture(scope="module", params=engines(), ids=lambda engine: engine.name)
def engine(request: pytest.FixtureRequest) -> Engine:
    return request.param


@pytest.fixture
def server(engine: Engine) -> Generator[Server, None, None]:
    with serving(engine) as server:
        yield server


@asynccontextmanager
async def process(water: Water, command: str, *logs: str) -> AsyncGenerator[Process, None]:
    """Run another server on the store; it is killed when the context ends."""
    other = await asyncio.create_subprocess_exec(
        sys.executable, SCRIPT, water.url, water.token, command, *logs, stdin=PIPE, stdout=PIPE
    )
    try:
        yield other
    finally:
        if other.returncode is None:
            other.kill()
        await other.communicate()


async def line(other: Process) -> str:
    """The next line that it prints."""
    assert other.stdout is not None
    async with asyncio.timeout(30):
        return (await other.stdout.readline()).decode().strip()


async def test_many_who_race_for_many_logs(water: Water) -> None:
    """Eight servers want a hundred abandoned logs at once: each log goes on once, with one seam."""
    store = water.open(LIMITS)
    logs = [secrets.token_hex(8) for _ in range(LOGS)]
    for log in logs:
        lease = await store.open(log, ALICE, ttl=TTL, recovery=RECOVERY)
        await store.append(run("a", "b"), lease)
        await store.release(lease)
    async with _many(water, logs) as heirs:
        assert {await line(each) for each in heirs} == {"ready"}
        live, _ = await reading(store, logs[0])
        for each in heirs:
            assert each.stdin is not None
            each.stdin.write(b"go\n")
        assert sum([int(await line(each)) for each in heirs]) == LOGS
    for got in [await live, *[await entries(store, log) for log in logs]]:
        assert [each.offset for each in got] == [(1, 1), (1, 2), (2, 3), (2, 4), (2, 5)]
        assert [each.event for each in got[2:]] == [SEAM, TextDelta("c"), WHOLE]
    await store.aclose()


@asynccontextmanager
async def _many(water: Water, logs: list[str]) -> AsyncGenerator[list[Process], None]:
    heirs = [process(water, "take", *logs) for _ in range(HEIRS)]
    try:
        yield await asyncio.gather(*(each.__aenter__() for each in heirs))
    finally:
        await asyncio.gather(*(each.__aexit__(None, None, None) for each in heirs))


async def test_a_writer_that_was_stopped_for_longer_than_its_lease(water: Water) -> None:
    """A writer that stands still is succeeded; when it moves again it is fenced off, and nothing of it follows."""
    store, log = water.open(QUICK), "name"  # as the name bound to it, so that a cluster keeps both on one server
    async with process(water, "write", log) as zombie:
        assert await line(zombie) == "ready"
        task, got = await reading(store, log)
        await until(lambda: len(got) > 10)
        zombie.send_signal(signal.SIGSTOP)
        found: list[int] = []

        async def abandoned() -> bool:
            found.extend(each.last for each in [await store.abandoned(log)] if each is not None)
            return bool(found)

        await until(abandoned)
        heir = await store.take_over([entry(found[0] + 1, SEAM, 2)], log)
        zombie.send_signal(signal.SIGCONT)
        assert await line(zombie) == "fenced"
        await store.append([entry(found[0] + 2, TextDelta("new"), 2)], heir)
        await store.seal([entry(found[0] + 3, WHOLE, 2)], heir)
        await task
    assert [each.offset.sequence for each in got] == list(range(1, found[0] + 4))
    old, new = got[: found[0]], got[found[0] :]
    assert {(each.offset.epoch, each.event) for each in old} == {(1, TextDelta("old"))}
    assert [(each.offset.epoch, each.event) for each in new] == [(2, SEAM), (2, TextDelta("new")), (2, WHOLE)]
    assert await entries(store, log) == got
    await store.aclose()


async def test_a_takeover_whose_answer_is_lost(server: Server) -> None:
    """A takeover that is sent twice, since its answer was lost, is one takeover, with one seam."""
    async with Proxy(server.socket, server.folder / "p") as proxy:
        store = RedisStore(proxy.url, LIMITS)
        for ending in ([], [entry(4, WHOLE, 2)]):
            log = secrets.token_hex(8)
            lease = await store.open(log, ALICE, ttl=TTL, recovery=RECOVERY)
            await store.append(run("a", "b"), lease)
            await store.release(lease)
            proxy.lose = 1
            heir = await store.take_over([entry(3, SEAM, 2), *ending], log)
            assert proxy.lose == 0
            assert heir == Lease(log, 2)
            if not ending:
                await store.seal([entry(4, WHOLE, 2)], heir)
            assert [each.offset for each in await entries(store, log)] == [(1, 1), (1, 2), (2, 3), (2, 4)]
        await store.aclose()


async def test_what_is_left_of_a_recovery(server: Server) -> None:
    """A recovery lasts no longer than the entries beside it, and no end of the log leaves it behind."""
    store = RedisStore(server.url, QUICK)

    async def seal(lease: Lease) -> None:
        await store.seal([entry(1, WHOLE)], lease)

    async def taken(lease: Lease) -> None:
        await store.release(lease)
        await store.take_over([entry(1, WHOLE, 2)], lease.log)

    async def forgotten(lease: Lease) -> None:
        await store.forget(lease.log)

    for end in (seal, taken, forgotten):
        log = secrets.token_hex(8)
        lease = await store.open(log, ALICE, ttl=TTL, recovery=RECOVERY)
        assert server.command("GET", key("recovery", log)) == RECOVERY
        kept, beside = (server.command("PEXPIRETIME", key(kind, log)) for kind in ("recovery", "packs"))
        assert 0 < kept <= beside
        await end(lease)
        assert not server.command("EXISTS", key("recovery", log))
    await store.aclose()


async def test_what_a_recovery_costs(server: Server) -> None:
    """An unbroken answer with a recovery takes the same scripts, which set it and delete it, and nothing else."""
    store = RedisStore(server.url, LIMITS)
    plain = await _calls(server, lambda: _answer(store, None))
    kept = await _calls(server, lambda: _answer(store, RECOVERY))
    assert kept - plain == Counter(set=1, **{"del": 1})
    assert plain - kept == Counter()
    await store.aclose()


async def test_a_recovery_that_is_gone(server: Server) -> None:
    """A log whose recovery was evicted or has expired ends `lost`, as one without."""
    store = RedisStore(server.url, LIMITS)
    lease = await store.open("log", ALICE, ttl=TTL, recovery=RECOVERY)
    await store.append(run("a"), lease)
    server.command("DEL", key("recovery", "log"))
    await store.release(lease)
    assert (await store.describe("log")).state == "lost"
    await store.aclose()


async def test_a_lapse_that_nobody_noticed(server: Server) -> None:
    """A log that nobody looked at for longer than it would wait can still be taken over by who looks first."""
    store = RedisStore(server.url, Limits(lease=0.05, heartbeat=0.02, takeover=0.05))
    lease = await store.open("log", ALICE, ttl=TTL, recovery=RECOVERY)

    async def lapsed_long_ago() -> None:
        server.command("SET", "watch", "", "PX", 200)
        await until(lambda: not server.command("EXISTS", "watch"))
        assert not server.command("EXISTS", key("lease", "log"))

    await lapsed_long_ago()
    assert await store.abandoned("log") is not None
    await store.append(run("a"), lease)  # its writer was late, and lapses anew
    await lapsed_long_ago()
    assert await store.abandoned("log") is not None
    await store.take_over([entry(2, SEAM, 2)], "log")
    with pytest.raises(Fenced):
        await store.append(run("b", begin=2), lease)
    await store.aclose()


async def _answer(store: Store, recovery: bytes | None) -> None:
    claim = await store.claim(
        secrets.token_hex(8), secrets.token_hex(8), ALICE, ttl=TTL, terms=Terms(recovery=recovery)
    )
    assert claim.lease is not None
    for i in range(1, 20):
        await store.append(run(str(i), begin=i), claim.lease)
    await store.append([], claim.lease)
    await store.seal([entry(20, WHOLE)], claim.lease)
    assert len(await entries(store, claim.log, Offset(1, 7))) == 13


async def _calls(server: Server, act: Callable[[], Any]) -> Counter[str]:
    """How often each command ran, also inside scripts."""
    await act()  # for the scripts, which are sent in full once
    server.command("CONFIG", "RESETSTAT")
    await act()
    stats: dict[str, dict[str, int]] = server.command("INFO", "commandstats")
    return Counter({name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items() if "|" not in name})
