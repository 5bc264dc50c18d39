"""What is asked of one Redis in the same moment goes there together, and yet each caller gets what is theirs."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast

import pytest
from redis import Redis
from redis_servers import Engine, Proxy, Server, engines, serving

from headwater.errors import StoreError
from headwater.log.lua.script import key
from headwater.log.redis.batcher import BATCH_BYTES, BATCH_SCRIPTS, LARGE_SCRIPTS
from headwater.log.redis.client import Unanswered
from headwater.log.redis.store import CONNECTIONS, RedisStore
from headwater.log.redis.times import RedisTimes
from headwater.log.store import Lease
from headwater.testing.contract import LIMITS
from headwater.testing.contract_harness import ALICE, PATIENCE, TTL, WHOLE, entries, entry, run

REPLY = len(b"*2\r\n$2\r\nok\r\n$2\r\n00\r\n")
"""Bytes in which Redis tells a constant of two letters."""


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
    """A store that has a connection, over which Redis has learnt the script that the tests here run."""
    store = RedisStore(url, LIMITS, times=times, connections=connections)
    try:
        await store.constant("warm", b"")
        yield store
    finally:
        await store.aclose()


class Traffic(NamedTuple):
    """How often a server was connected to, and read from a connection."""

    connections: int
    reads: int


class Look:
    """Sees the traffic of a server, without what it takes to look."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._stats()  # connects
        self._before = self._stats()

    def traffic(self) -> Traffic:
        """Since the beginning; ask once."""
        before, now = self._before, self._stats()
        return Traffic(now.connections - before.connections, now.reads - before.reads - 1)

    def _stats(self) -> Traffic:
        stats: dict[str, int] = cast("Any", self._client).info("stats")
        return Traffic(stats["total_connections_received"], stats["total_reads_processed"])


async def caused(server: Server, *steps: Coroutine[Any, Any, Any]) -> Traffic:
    """The traffic of steps that are asked for in one turn of the loop."""
    with server.client() as client:
        look = Look(client)
        await together(*steps)
        return look.traffic()


async def together(*steps: Coroutine[Any, Any, Any]) -> list[Any]:
    """What came of steps that are asked for in one turn of the loop."""
    async with asyncio.timeout(PATIENCE):
        return await asyncio.gather(*steps, return_exceptions=True)


async def turn(count: int = 1) -> None:
    """Let the loop come round."""
    for _ in range(count):
        await asyncio.sleep(0)


def calls(server: Server, command: str) -> int:
    """How often a command was run since the statistics were reset."""
    return server.command("INFO", "commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"]


def constants(store: RedisStore, count: int) -> list[Coroutine[Any, Any, bytes]]:
    """A step for each of some constants that are their own values."""
    return [store.constant(f"{i:02}", b"%02d" % i) for i in range(count)]


def values(count: int) -> list[bytes]:
    return [b"%02d" % i for i in range(count)]


async def test_writers_who_flush_in_one_turn_share_a_connection_and_a_write(server: Server) -> None:
    """Thirty-two appends reach Redis in one piece, over the one connection there is."""
    async with connected(server.url) as store:
        leases = [await store.open(f"log-{i}", ALICE, ttl=TTL) for i in range(32)]
        await store.append([], leases[0])
        cost = await caused(server, *(store.append(run("a"), lease) for lease in leases))
        assert cost.connections == 0
        assert cost.reads <= 2  # one, unless Redis came to read before the last bytes were there
        assert [len(await entries(store, lease.log, follow=False)) for lease in leases] == [1] * 32


async def test_more_than_a_batch_holds_goes_out_in_several(server: Server) -> None:
    """Nobody waits for more than a batch, and large answers keep to themselves in small ones."""
    async with connected(server.url) as store:
        await store.open("log", ALICE, ttl=TTL)
        assert (await caused(server, *constants(store, BATCH_SCRIPTS + 1))).connections == 1
    async with connected(server.url) as store:
        reads = [entries(store, "log", follow=False) for _ in range(LARGE_SCRIPTS + 1)]
        assert (await caused(server, *reads, store.constant("a", b"b"))).connections == 2
    async with connected(server.url) as store:
        heavy = [store.constant(f"{i}", bytes(BATCH_BYTES // 2)) for i in range(3)]
        assert (await caused(server, *heavy)).connections == 2


async def test_what_waits_for_a_connection_gathers(server: Server) -> None:
    """What is asked for turn after turn while all connections are busy goes out together when one is free."""
    async with connected(server.url, connections=1) as store:
        with server.client() as client:
            look = Look(client)
            server.signal(signal.SIGSTOP)
            tasks: list[asyncio.Task[bytes]] = []
            for step in constants(store, 20):
                tasks.append(asyncio.create_task(step))
                await turn(5)
            server.signal(signal.SIGCONT)
            assert await asyncio.gather(*tasks) == values(20)
            assert look.traffic() == Traffic(0, 2)


async def test_a_refused_step_is_its_own_callers_alone(server: Server) -> None:
    """Redis will not do one of three: the other two are done, and their callers hear nothing of it."""
    server.command("RPUSH", key("constant", "01"), "no value")
    server.command("PEXPIRE", key("constant", "01"), 60_000)
    async with connected(server.url) as store:
        first, refused, third = await together(*constants(store, 3))
        assert [first, third] == [b"00", b"02"]
        assert isinstance(refused, StoreError)
        assert not isinstance(refused, Unanswered)
        assert "wrong kind of value" in str(refused)


async def test_scripts_that_were_forgotten_are_taught_in_the_middle_of_a_batch(server: Server) -> None:
    """Those whose script Redis has forgotten are sent again with it; those whose script it knows are not."""
    async with connected(server.url) as store:
        server.command("SCRIPT", "FLUSH")
        await store.constant("warm", b"")
        server.command("CONFIG", "RESETSTAT")
        steps = [store.open("a", ALICE, ttl=TTL), *constants(store, 3), store.open("b", ALICE, ttl=TTL)]
        assert await together(*steps) == [Lease("a"), *values(3), Lease("b")]
        assert [calls(server, "evalsha"), calls(server, "eval")] == [5, 2]


async def test_a_cancelled_caller_takes_nothing_from_the_others(server: Server) -> None:
    """At whatever moment one of three leaves, the others get their own answers."""
    async with connected(server.url) as store:
        for turns in range(20):
            tasks = [asyncio.create_task(step) for step in constants(store, 3)]
            await turn(turns)
            tasks[1].cancel()
            first, left, third = await asyncio.gather(*tasks, return_exceptions=True)
            assert [first, third] == [b"00", b"02"]
            assert left == b"01" or isinstance(left, asyncio.CancelledError)


async def test_nothing_is_sent_for_callers_who_have_all_left(server: Server) -> None:
    """A batch that nobody waits for any more before it goes out does not."""
    async with connected(server.url) as store:
        tasks = [asyncio.create_task(step) for step in constants(store, 3)]
        await turn()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await store.constant("00", b"other") == b"other"


async def test_only_what_got_no_answer_is_sent_again(server: Server) -> None:
    """The connection breaks in the middle of the second answer: the first is not asked for twice, nobody notices."""
    async with Proxy(server.socket, server.folder / "p") as proxy, connected(proxy.url) as store:
        server.command("CONFIG", "RESETSTAT")
        proxy.arrives = REPLY * 3 // 2
        proxy.lose = 1
        assert await together(*constants(store, 3)) == values(3)
        assert calls(server, "evalsha") == 3 + 2


async def test_a_server_that_dies_fails_everyone_of_a_batch(engine: Engine) -> None:
    """Each is told that there was no answer, by an error of their own."""
    with serving(engine) as server:
        async with connected(server.url) as store:
            server.signal(signal.SIGSTOP)
            steps = asyncio.create_task(together(*constants(store, 5)))
            await turn(20)
            server.kill()
            errors = await steps
            assert [type(each) for each in errors] == [Unanswered] * 5
            assert all("cannot be reached" in str(each) for each in errors)
            assert len({id(each) for each in errors}) == 5


async def test_a_server_that_is_silent_keeps_nobody_beyond_the_time_limit(server: Server) -> None:
    """Those who were sent and those who waited for a connection are told alike, and then it answers again."""
    async with connected(server.url, connections=1, times=RedisTimes(finish_within=0.3)) as store:
        server.signal(signal.SIGSTOP)
        try:
            sent = asyncio.create_task(together(*constants(store, 3)))
            await turn(20)
            errors = [*await together(*constants(store, 3)), *await sent]
        finally:
            server.signal(signal.SIGCONT)
        assert [type(each) for each in errors] == [Unanswered] * 6
        assert all("did not answer within" in str(each) for each in errors)
        assert await together(*constants(store, 3)) == values(3)


async def test_a_store_that_closes_leaves_no_caller_waiting(server: Server) -> None:
    """At whatever moment it closes, callers get their answer or hear that the store was closed, and no task stays."""
    for turns in range(20):
        store = RedisStore(server.url, LIMITS)
        steps = asyncio.create_task(together(*constants(store, 3)))
        await turn(turns)
        async with asyncio.timeout(PATIENCE):
            await store.aclose()
        for answer, value in zip(await steps, values(3), strict=True):
            assert answer == value or (isinstance(answer, StoreError) and "was closed" in str(answer))
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_ending_among_appends(server: Server) -> None:
    """Logs that end and logs that go on, in one batch, are each as their own writer left them."""
    async with connected(server.url) as store:
        leases = [await store.open(f"log-{i}", ALICE, ttl=TTL) for i in range(10)]
        steps = [
            store.seal([*run("a"), entry(2, WHOLE)], lease) if i % 2 else store.append(run("a"), lease)
            for i, lease in enumerate(leases)
        ]
        await together(*steps)
        assert [len(await entries(store, lease.log, follow=False)) for lease in leases] == [1, 2] * 5
