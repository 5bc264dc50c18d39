"""Scripts of one loop iteration reach Redis in one batch, and yet each caller gets its own answer or error."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast

import pytest
from redis import Redis
from redis_servers import Engine, Proxy, Server, engines, serving

from headwater.errors import StoreError
from headwater.log.lua import steps
from headwater.log.lua.script import key, script
from headwater.log.redis.batcher import BATCH_BYTES, BATCH_SCRIPTS, LARGE_SCRIPTS
from headwater.log.redis.client import Unanswered
from headwater.log.redis.store import CONNECTIONS, RedisStore
from headwater.log.redis.times import RedisTimes
from headwater.log.store import Lease
from headwater.testing.contract import LIMITS
from headwater.testing.contract_harness import ALICE, TEST_TIMEOUT, TTL, WHOLE, entries, entry, run

REPLY = len(b"*2\r\n$2\r\nok\r\n$2\r\n00\r\n")
"""Bytes of the reply with a constant of two letters."""


@pytest.fixture(scope="module", params=engines(), ids=lambda engine: engine.name)
def engine(request: pytest.FixtureRequest) -> Engine:
    return request.param


@pytest.fixture(scope="module")
def shared(engine: Engine) -> Generator[Server, None, None]:
    with serving(engine) as server:
        yield server


@pytest.fixture
def server(shared: Server) -> Server:
    shared.command("FLUSHALL")
    return shared


@asynccontextmanager
async def connected(
    url: str, connections: int = CONNECTIONS, times: RedisTimes | None = None
) -> AsyncGenerator[RedisStore, None]:
    """A store with an open connection, to a server that has cached the script which these tests run."""
    store = RedisStore(url, LIMITS, times=times, connections=connections)
    try:
        await store.constant("warm", b"")
        yield store
    finally:
        await store.aclose()


class Traffic(NamedTuple):
    """How many connections a server has accepted, and how often it has read from one."""

    connections: int
    reads: int


class Look:
    """Measures the traffic of a server, without its own."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._stats()  # connects
        self._before = self._stats()

    def traffic(self) -> Traffic:
        """The traffic since this object was made; call it once."""
        before, now = self._before, self._stats()
        return Traffic(now.connections - before.connections, now.reads - before.reads - 1)

    def _stats(self) -> Traffic:
        stats: dict[str, int] = cast("Any", self._client).info("stats")
        return Traffic(stats["total_connections_received"], stats["total_reads_processed"])


async def caused(server: Server, *steps: Coroutine[Any, Any, Any]) -> Traffic:
    """The traffic of steps called in one iteration of the event loop."""
    with server.client() as client:
        look = Look(client)
        await together(*steps)
        return look.traffic()


async def together(*steps: Coroutine[Any, Any, Any]) -> list[Any]:
    """The results of steps called in one iteration of the event loop."""
    async with asyncio.timeout(TEST_TIMEOUT):
        return await asyncio.gather(*steps, return_exceptions=True)


async def iterate(count: int = 1) -> None:
    """Let the event loop run some iterations."""
    for _ in range(count):
        await asyncio.sleep(0)


def calls(server: Server, command: str) -> int:
    """How often a command ran since the statistics were reset."""
    return server.command("INFO", "commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"]


def constants(store: RedisStore, count: int) -> list[Coroutine[Any, Any, bytes]]:
    """Steps that set constants whose values are their names."""
    return [store.constant(f"{i:02}", b"%02d" % i) for i in range(count)]


def values(count: int) -> list[bytes]:
    return [b"%02d" % i for i in range(count)]


async def test_writers_that_flush_in_one_iteration_share_a_connection_and_a_write(server: Server) -> None:
    """Thirty-two appends reach Redis in one write, over the one connection there is."""
    async with connected(server.url) as store:
        leases = [await store.open(f"log-{i}", ALICE, ttl=TTL) for i in range(32)]
        await store.append([], leases[0])
        cost = await caused(server, *(store.append(run("a"), lease) for lease in leases))
        assert cost.connections == 0
        assert cost.reads <= 2  # one, unless Redis came to read before the last bytes were there
        assert [len(await entries(store, lease.log, follow=False)) for lease in leases] == [1] * 32


async def test_more_than_a_batch_holds_goes_out_in_several(server: Server) -> None:
    """A batch is bounded in scripts and bytes, and scripts with large replies get small batches of their own."""
    async with connected(server.url) as store:
        await store.open("log", ALICE, ttl=TTL)
        assert (await caused(server, *constants(store, BATCH_SCRIPTS + 1))).connections == 1
    async with connected(server.url) as store:
        reads = [entries(store, "log", follow=False) for _ in range(LARGE_SCRIPTS + 1)]
        assert (await caused(server, *reads, store.constant("a", b"b"))).connections == 2
    async with connected(server.url) as store:
        heavy = [store.constant(f"{i}", bytes(BATCH_BYTES // 2)) for i in range(3)]
        assert (await caused(server, *heavy)).connections == 2


async def test_scripts_that_wait_for_a_connection_share_a_batch(server: Server) -> None:
    """Scripts called in several iterations while all connections are busy go out in one batch when one is free."""
    async with connected(server.url, connections=1) as store:
        with server.client() as client:
            look = Look(client)
            server.signal(signal.SIGSTOP)
            tasks: list[asyncio.Task[bytes]] = []
            for step in constants(store, 20):
                tasks.append(asyncio.create_task(step))
                await iterate(5)
            server.signal(signal.SIGCONT)
            assert await asyncio.gather(*tasks) == values(20)
            assert look.traffic() == Traffic(0, 2)


async def test_a_refused_step_fails_its_own_caller_only(server: Server) -> None:
    """When Redis refuses one of three steps, the other two are done and their callers get no error."""
    server.command("RPUSH", key("constant", "01"), "no value")
    server.command("PEXPIRE", key("constant", "01"), 60_000)
    async with connected(server.url) as store:
        first, refused, third = await together(*constants(store, 3))
        assert [first, third] == [b"00", b"02"]
        assert isinstance(refused, StoreError)
        assert not isinstance(refused, Unanswered)
        assert "wrong kind of value" in str(refused)


async def test_scripts_that_were_forgotten_are_sent_in_full(server: Server) -> None:
    """Of a batch, only the steps whose script Redis has forgotten are sent again, with the text of the script."""
    async with connected(server.url) as store:
        server.command("SCRIPT", "FLUSH")
        await store.constant("warm", b"")
        server.command("CONFIG", "RESETSTAT")
        steps = [store.open("a", ALICE, ttl=TTL), *constants(store, 3), store.open("b", ALICE, ttl=TTL)]
        assert await together(*steps) == [Lease("a"), *values(3), Lease("b")]
        assert [calls(server, "evalsha"), calls(server, "eval")] == [5, 2]


async def test_a_cancelled_caller_takes_nothing_from_the_others(server: Server) -> None:
    """At whatever moment one of three callers is cancelled, the others get their own answers."""
    async with connected(server.url) as store:
        for iterations in range(20):
            tasks = [asyncio.create_task(step) for step in constants(store, 3)]
            await iterate(iterations)
            tasks[1].cancel()
            first, left, third = await asyncio.gather(*tasks, return_exceptions=True)
            assert [first, third] == [b"00", b"02"]
            assert left == b"01" or isinstance(left, asyncio.CancelledError)


async def test_nothing_is_sent_for_callers_that_have_left(server: Server) -> None:
    """A batch whose callers have all left is not sent."""
    async with connected(server.url) as store:
        tasks = [asyncio.create_task(step) for step in constants(store, 3)]
        await iterate()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await store.constant("00", b"other") == b"other"


async def test_only_what_got_no_answer_is_sent_again(server: Server) -> None:
    """When the connection breaks within the second answer, the first step is not sent again; no caller notices."""
    async with Proxy(server.socket, server.folder / "p") as proxy, connected(proxy.url) as store:
        server.command("CONFIG", "RESETSTAT")
        proxy.arrives = REPLY * 3 // 2
        proxy.lose = 1
        assert await together(*constants(store, 3)) == values(3)
        assert calls(server, "evalsha") == 3 + 2


async def test_a_server_that_dies_fails_every_caller_of_a_batch(engine: Engine) -> None:
    """Each caller gets its own error, which says that Redis cannot be reached."""
    with serving(engine) as server:
        async with connected(server.url) as store:
            server.signal(signal.SIGSTOP)
            steps = asyncio.create_task(together(*constants(store, 5)))
            await iterate(20)
            server.kill()
            errors = await steps
            assert [type(each) for each in errors] == [Unanswered] * 5
            assert all("cannot be reached" in str(each) for each in errors)
            assert len({id(each) for each in errors}) == 5


async def test_a_silent_server_keeps_no_caller_beyond_the_time_limit(server: Server) -> None:
    """Steps that were sent and steps that waited for a connection fail alike, and later steps work again."""
    async with connected(server.url, connections=1, times=RedisTimes(finish_within=0.3)) as store:
        server.signal(signal.SIGSTOP)
        try:
            sent = asyncio.create_task(together(*constants(store, 3)))
            await iterate(20)
            errors = [*await together(*constants(store, 3)), *await sent]
        finally:
            server.signal(signal.SIGCONT)
        assert [type(each) for each in errors] == [Unanswered] * 6
        assert all("did not answer within" in str(each) for each in errors)
        assert await together(*constants(store, 3)) == values(3)


async def test_a_store_that_closes_leaves_no_caller_waiting(server: Server) -> None:
    """At whatever moment a store closes, callers get their answer or an error, and no task is left."""
    for iterations in range(20):
        store = RedisStore(server.url, LIMITS)
        steps = asyncio.create_task(together(*constants(store, 3)))
        await iterate(iterations)
        async with asyncio.timeout(TEST_TIMEOUT):
            await store.aclose()
        for answer, value in zip(await steps, values(3), strict=True):
            assert answer == value or (isinstance(answer, StoreError) and "was closed" in str(answer))
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_ending_among_appends(server: Server) -> None:
    """Seals and appends in one batch each change their own log."""
    async with connected(server.url) as store:
        leases = [await store.open(f"log-{i}", ALICE, ttl=TTL) for i in range(10)]
        steps = [
            store.seal([*run("a"), entry(2, WHOLE)], lease) if i % 2 else store.append(run("a"), lease)
            for i, lease in enumerate(leases)
        ]
        await together(*steps)
        assert [len(await entries(store, lease.log, follow=False)) for lease in leases] == [1, 2] * 5


async def test_a_claim_does_not_share_a_batch_with_flushes(server: Server) -> None:
    """Called after the flushes of one iteration, it goes out beside them, over a connection of its own."""
    async with connected(server.url) as store:
        leases = [await store.open(f"log-{i}", ALICE, ttl=TTL) for i in range(20)]
        flushes = [store.append(run("a"), lease) for lease in leases]
        assert (await caused(server, *flushes, store.claim("name", "log", ALICE, ttl=TTL))).connections == 1


async def test_a_claim_does_not_wait_until_flushes_are_done(server: Server) -> None:
    """However many flushes wait for Redis, some connections are left for those for whom somebody waits."""
    async with connected(server.url) as store:
        leases = [await store.open(f"log-{i}", ALICE, ttl=TTL) for i in range(40)]
        await store.claim("warm", "warm", ALICE, ttl=TTL)
        server.signal(signal.SIGSTOP)
        try:
            rounds = BATCH_SCRIPTS * 40 // len(leases)
            flushes = [
                asyncio.create_task(store.append(run(*"a" * i), lease)) for i in range(1, rounds) for lease in leases
            ]
            await iterate(3)
            claim = asyncio.create_task(store.claim("name", "log", ALICE, ttl=TTL))
            await iterate(3)
        finally:
            server.signal(signal.SIGCONT)
        assert (await claim).won
        assert not all(each.done() for each in flushes)
        await asyncio.gather(*flushes, return_exceptions=True)


async def test_the_quick_append_stores_what_the_whole_step_would(server: Server) -> None:
    """So that servers of two versions can write logs in one Redis, and each append may go either way."""
    whole, stored = script("append", "log", "pack", "write"), list[Any]()
    async with connected(server.url) as store:
        for step in (whole, steps._APPEND):  # pyright: ignore[reportPrivateUsage]
            server.command("FLUSHALL")
            lease = await store.open("log", ALICE, ttl=TTL)
            times, bounds = [0, 5000, 60_000, 60_000], ["log", 1, 100, 10_000]
            server.command("HSET", key("log", "log"), "readers", 1 << 52)
            answers: list[Any] = []
            for first, texts in ((1, "a"), (2, "bcd"), (2, "bcd"), (5, "e"), (9, "f")):
                lines = b"\n".join(each.data for each in run(*texts, begin=first))
                packs = [first, first + len(texts) - 1, lines]
                keys = steps.keys_of("log")
                answers.append(server.command("EVAL", step.text, len(keys), *keys, *times, *bounds, *packs))
            assert await store.stop("log", ALICE.subject)
            lines = run("g", begin=6)[0].data
            answers.append(server.command("EVAL", step.text, len(keys), *keys, *times, *bounds, 6, 6, lines))
            ttl = server.command("PTTL", key("lease", "log"))
            assert 0 < ttl <= 5000
            stored.append((answers, server.command("XRANGE", key("packs", "log"), "-", "+")))
            await store.forget(lease.log)
    assert stored[0] == stored[1]
    assert [answer[0] for answer in stored[0][0]] == [b"ok"] * 4 + [b"gap", b"ok"]
    assert stored[0][0][-1][1] == b"by:alice"
