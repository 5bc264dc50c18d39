"""The Redis store when Redis or the network fails: nothing is stored twice, and no truncated answer looks whole."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager

import pytest
from redis_servers import Engine, Proxy, Server, engines, serving

from headwater.entries import Entry
from headwater.errors import Expired, NoSuchLog, OutOfSequence, StoreError
from headwater.events import Error, Stop, TextDelta
from headwater.log.logs import Logs
from headwater.log.lua.script import key
from headwater.log.redis.store import RedisStore
from headwater.log.redis.times import RedisTimes
from headwater.log.store import Lease, Limits
from headwater.log.writer import Writer
from headwater.offsets import ORIGIN
from headwater.testing.contract import LIMITS
from headwater.testing.contract_harness import (
    ALICE,
    BOB,
    TEST_TIMEOUT,
    TTL,
    WHOLE,
    entries,
    entry,
    reading,
    run,
    texts,
    until,
)

WORDS = 400


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
async def stores(url: str, count: int = 2, times: RedisTimes | None = None) -> AsyncGenerator[list[RedisStore], None]:
    """The stores of several processes on one server."""
    made = [RedisStore(url, Limits(lease=LIMITS.lease), times=times) for _ in range(count)]
    try:
        yield made
    finally:
        for each in made:
            await each.aclose()


async def answer(writer: Writer, pace: float = 0.005) -> None:
    """Write an answer as a model would."""
    for i in range(WORDS):
        writer.append([TextDelta(str(i))])
        await asyncio.sleep(pace)
        await writer.room()
    await writer.seal(WHOLE)


def whole(got: list[Entry]) -> bool:
    """Whether this is that answer, with each word once and in order."""
    words = [each.event.text for each in got if isinstance(each.event, TextDelta)]
    return words == [str(i) for i in range(WORDS)] and got[-1].event == WHOLE


async def local(logs: Logs, log: str) -> list[Entry]:
    return [each async for page in logs.read(log, ORIGIN) for each in page]


async def remote(store: RedisStore, log: str) -> list[Entry]:
    return [each async for page in store.read(log) for each in page]


@pytest.fixture
async def proxy(server: Server) -> AsyncGenerator[Proxy, None]:
    async with Proxy(server.socket, server.folder / "p") as proxy:
        yield proxy


async def test_a_restart_that_keeps_the_data(engine: Engine) -> None:
    """After a kill in the middle of an answer and a start with its data, every reader gets each word once."""
    with serving(engine, "--appendonly", "yes") as server:
        async with stores(server.url) as (store, peer):
            claim = await store.claim("name", "log", ALICE, ttl=TTL)
            assert claim.lease is not None
            logs = Logs(store)
            async with logs.write(claim.lease) as writer:
                writing = asyncio.create_task(answer(writer))
                readers = [asyncio.create_task(local(logs, "log")), asyncio.create_task(remote(peer, "log"))]
                await until(lambda: len(writer._entries) > WORDS / 4)  # pyright: ignore[reportPrivateUsage]
                server.kill()
                server.start()
                await writing
                async with asyncio.timeout(TEST_TIMEOUT):
                    assert [whole(await reader) for reader in readers] == [True, True]
            found = await peer.find("name", BOB)
            assert found is not None
            assert whole(await entries(peer, "log"))


async def test_a_restart_that_loses_the_data(engine: Engine) -> None:
    """When a server comes back empty, the writer stops, every reader gets an error, and the name is free."""
    with serving(engine) as server:
        async with stores(server.url) as (store, peer):
            claim = await store.claim("name", "log", ALICE, ttl=TTL)
            assert claim.lease is not None
            logs = Logs(store)
            async with logs.write(claim.lease) as writer:
                interrupted = asyncio.Event()
                writer.interrupt = interrupted.set
                writer.append([TextDelta("a")])
                far, got = await reading(peer, "log")
                await until(lambda: len(got) == 1)
                near = asyncio.create_task(local(logs, "log"))
                server.kill()
                server.start()
                writer.append([TextDelta("b")])
                async with asyncio.timeout(TEST_TIMEOUT):
                    await interrupted.wait()
                    assert writer.fenced
                    await writer.seal(WHOLE)
                    with pytest.raises((Expired, NoSuchLog)):
                        await far
                    ending = (await near)[-1].event
                assert isinstance(ending, Error)
                assert (ending.code, ending.retryable) == ("lost", True)
            assert server.command("DBSIZE") == 0
            assert (await peer.claim("name", "next", BOB, ttl=TTL)).won


async def test_a_pause(server: Server) -> None:
    """When a server stands still for longer than a command may take, commands sent twice are applied once."""
    times = RedisTimes(answer_within=0.5)
    async with stores(server.url, 2, times) as (store, peer):
        logs = Logs(store)
        async with logs.write(await store.open("log", ALICE, ttl=TTL)) as writer:
            writing = asyncio.create_task(answer(writer))
            readers = [asyncio.create_task(local(logs, "log")), asyncio.create_task(remote(peer, "log"))]
            await until(lambda: len(writer._entries) > WORDS / 4)  # pyright: ignore[reportPrivateUsage]
            server.signal(signal.SIGSTOP)
            await asyncio.sleep(times.answer_within + 0.25)  # only time makes a command time out
            server.signal(signal.SIGCONT)
            await writing
            async with asyncio.timeout(TEST_TIMEOUT):
                assert [whole(await reader) for reader in readers] == [True, True]


async def test_a_server_that_stays_away(engine: Engine) -> None:
    """When Redis does not come back, readers get an error: none hangs, and no answer seems to have ended."""
    times = RedisTimes(unreachable_after=0.3, look_every=0.1)
    with serving(engine) as server:
        async with stores(server.url, 2, times) as (store, peer):
            lease = await store.open("log", ALICE, ttl=TTL)
            await store.append(run("a"), lease)
            task, got = await reading(peer, "log")
            await until(lambda: len(got) == 1)
            server.kill()
            with pytest.raises(StoreError, match="cannot be reached"):
                await task
            with pytest.raises(StoreError, match="cannot be reached"):
                await peer.find("name", ALICE)


async def test_wake_ups_that_are_cut_off(server: Server) -> None:
    """When the pub/sub connection dies, readers and writers are woken again over the next one."""
    async with stores(server.url) as (store, peer):
        lease = await store.open("log", ALICE, ttl=TTL)
        task, got = await reading(peer, "log")
        stopped = asyncio.Event()
        cease = store.listen(lease, stopped.set)
        for i in range(1, 4):
            await until(lambda: server.command("PUBSUB", "NUMSUB", key("wake", "log"))[1] == 1)
            await until(lambda: server.command("PUBSUB", "NUMSUB", key("stop", "log"))[1] == 1)
            assert server.command("CLIENT", "KILL", "TYPE", "pubsub") == 2
            await store.append(run(str(i), begin=i), lease)
            await until(lambda wanted=i: len(got) == wanted, within=1.0)
        await until(lambda: server.command("PUBSUB", "NUMSUB", key("stop", "log"))[1] == 1)
        server.command("CLIENT", "KILL", "TYPE", "pubsub")
        await peer.stop("log", ALICE.subject)
        await until(stopped.is_set, within=1.0)
        cease()
        await store.seal([entry(4, Stop("alice"))], lease)
        assert len(await task) == 4


async def test_wake_ups_that_never_come(server: Server) -> None:
    """A reader that gets no wake-ups, because its user may not subscribe, gets every entry a little later."""
    server.command("ACL", "SETUSER", "deaf", "reset", "on", "nopass", "~*", "+@all", "resetchannels")
    deaf, times = f"unix://deaf:any@{server.socket}", RedisTimes(look_every=0.2)
    async with stores(server.url, 1) as (store,), stores(deaf, 1, times) as (peer,):
        lease = await store.open("log", ALICE, ttl=TTL)
        task, got = await reading(peer, "log")
        for i in range(1, 4):
            await store.append(run(str(i), begin=i), lease)
            await until(lambda wanted=i: len(got) == wanted, within=2.0)
        await store.seal([entry(4, WHOLE)], lease)
        assert len(await task) == 4
    server.command("ACL", "DELUSER", "deaf")


async def test_wake_ups_that_come_twice(server: Server) -> None:
    """A reader that is woken several times for each entry gets no entry twice."""
    async with stores(server.url) as (store, peer):
        lease = await store.open("log", ALICE, ttl=TTL)
        task, _ = await reading(peer, "log")
        for i in range(1, 17):
            await store.append(run(str(i), begin=i), lease)
            server.command("PUBLISH", key("wake", "log"), str(i))
            server.command("PUBLISH", key("wake", "log"), "end")
        await store.seal([entry(17, WHOLE)], lease)
        assert [each.offset.sequence for each in await task] == list(range(1, 18))


async def test_answers_that_get_lost(proxy: Proxy, server: Server) -> None:
    """Every step whose answer was lost has one effect, and its caller does not notice."""
    async with stores(proxy.url, 1) as (store,):
        await store.constant("warm", b"")

        def losing() -> RedisStore:
            assert proxy.lose == 0
            proxy.lose = 1
            return store

        claim = await losing().claim("name", "log", ALICE, ttl=TTL)
        assert claim.lease is not None
        for i in range(1, 30):
            await losing().append(run(str(i), begin=i), claim.lease)
        assert not await losing().stop("log", BOB.subject)
        await losing().seal([*run("29", begin=29), entry(30, WHOLE)], claim.lease)
        assert await texts(store, "log") == [str(i) for i in range(1, 30)]
        found = await losing().find("name", BOB)
        assert found is not None
        assert found.log == "log"
        assert await losing().constant("a", b"first") == b"first"
        assert await losing().open("other", ALICE, ttl=TTL) == Lease("other")
        assert await losing().stop("other", ALICE.subject)
        await losing().forget("log")
        assert proxy.lose == 0
        with pytest.raises(Expired):
            await store.forget("log")
    assert server.keys_without_ttl() == []


async def test_an_answer_that_does_not_come(proxy: Proxy) -> None:
    """An append that was applied and timed out twice is an error; repeated, it is acknowledged and stored once."""
    async with stores(proxy.url, 1, RedisTimes(answer_within=0.2)) as (store,):
        lease = await store.open("log", ALICE, ttl=TTL)
        proxy.silent = True
        proxy.lose = 1
        await store.append(run("a"), lease)
        proxy.silent = False
        proxy.lose = 10
        with pytest.raises(StoreError, match="cannot be reached"):
            await store.append(run("b", begin=2), lease)
        proxy.lose = 0
        await store.append(run("b", begin=2), lease)
        assert await texts(store, "log") == ["a", "b"]


async def test_callers_that_give_up(server: Server) -> None:
    """A caller that gives up in the middle of a command does not affect the answers of others."""
    async with stores(server.url, 1) as (store,):

        async def ask(i: int) -> None:
            async with asyncio.timeout(0.0005 * (i % 7)):
                assert await store.constant(f"c{i}", str(i).encode()) == str(i).encode()

        for _ in range(5):
            answers = await asyncio.gather(*(ask(i) for i in range(100)), return_exceptions=True)
            assert {type(each) for each in answers} <= {type(None), TimeoutError}
        assert [await store.constant(f"c{i}", str(i).encode()) for i in range(100)] == [b"%d" % i for i in range(100)]


async def test_two_writers(server: Server) -> None:
    """Of two writers with one lease the second is refused, so their entries are not mixed."""
    async with stores(server.url) as (store, peer):
        lease = await store.open("log", ALICE, ttl=TTL)
        await store.append(run("a", "b"), lease)
        for other in (run("x"), run("a", "y"), run("a", "y", "z"), run("y", "z", begin=2)):
            with pytest.raises(OutOfSequence):
                await peer.append(other, lease)
            with pytest.raises(OutOfSequence):
                await peer.seal([*other, entry(other[-1].offset.sequence + 1, WHOLE)], lease)
        assert await texts(store, "log") == ["a", "b"]


@pytest.mark.parametrize("kind", ["packs", "log"])
async def test_an_eviction(server: Server, kind: str) -> None:
    """A log of which Redis evicted a part is gone for its reader, its writer, and identical requests."""
    async with stores(server.url) as (store, peer):
        claim = await store.claim("name", "log", ALICE, ttl=TTL)
        assert claim.lease is not None
        await store.append(run("a", "b"), claim.lease)
        task, got = await reading(peer, "log")
        await until(lambda: len(got) == 2)
        server.command("DEL", key(kind, "log"))
        for late in (run("c", begin=3), []):
            with pytest.raises((Expired, NoSuchLog)):
                await store.append(late, claim.lease)
        with pytest.raises((Expired, NoSuchLog)):
            await store.seal([entry(3, WHOLE)], claim.lease)
        with pytest.raises(Expired):
            await task
        with pytest.raises((Expired, NoSuchLog)):
            await entries(peer, "log")
        assert (await peer.claim("name", "next", BOB, ttl=TTL)).won
    assert server.keys_without_ttl() == []


async def test_a_cache_entry_that_was_evicted_in_part(server: Server) -> None:
    """A finished log whose entries were evicted is a miss, not an empty hit."""
    async with stores(server.url, 1) as (store,):
        lease = await store.open("log", ALICE, ttl=TTL, name="name")
        await store.seal([*run("a"), entry(2, WHOLE)], lease)
        server.command("XDEL", key("packs", "log"), "1-1")
        assert await store.find("name", BOB) is None


async def test_out_of_memory(server: Server) -> None:
    """A Redis out of memory is an error that says so; nothing is stored in part, reads work, and writes recover."""
    async with stores(server.url) as (store, peer):
        lease = await store.open("log", ALICE, ttl=TTL)
        await store.append(run("a"), lease)
        server.command("CONFIG", "SET", "maxmemory", "1")
        try:
            for step in (store.append(run("b", begin=2), lease), store.open("other", ALICE, ttl=TTL), store.check()):
                with pytest.raises(StoreError, match="out of memory"):
                    await step
            assert len(await entries(peer, "log", follow=False)) == 1
            task, got = await reading(peer, "log")
            await until(lambda: len(got) == 1)
        finally:
            server.command("CONFIG", "SET", "maxmemory", "0")
        await store.append(run("b", begin=2), lease)
        await store.seal([entry(3, WHOLE)], lease)
        assert len(await task) == 3


async def test_a_failover(server: Server) -> None:
    """A server that became a replica is an error that says so, and the store works when it is primary again."""
    async with stores(server.url, 1) as (store,):
        lease = await store.open("log", ALICE, ttl=TTL)
        server.command("REPLICAOF", "127.0.0.1", "1")
        try:
            with pytest.raises(StoreError, match="takes no writes"):
                await store.append(run("a"), lease)
        finally:
            server.command("REPLICAOF", "NO", "ONE")
        await store.append(run("a"), lease)


async def test_scripts_that_were_forgotten(server: Server) -> None:
    """A server that has forgotten the scripts gets their text again, for writes and reads."""
    async with stores(server.url, 1) as (store,):
        lease = await store.open("log", ALICE, ttl=TTL)
        server.command("SCRIPT", "FLUSH")
        await store.append(run("a"), lease)
        server.command("SCRIPT", "FLUSH")
        assert await texts(store, "log") == ["a"]


async def test_a_user_without_permission(server: Server) -> None:
    """A refused password or command is an error at the first step; the error does not show the password."""
    server.command("ACL", "SETUSER", "bob", "on", ">right", "~*", "+@all", "-evalsha")
    async with stores(f"unix://bob:secret@{server.socket}", 1) as (store,):
        with pytest.raises(StoreError, match="refuses the user name or the password") as refusal:
            await store.check()
        assert "secret" not in str(refusal.value)
    async with stores(f"unix://bob:right@{server.socket}", 1) as (store,):
        with pytest.raises(StoreError, match="this user of Redis may not run the commands"):
            await store.constant("a", b"b")
    server.command("ACL", "DELUSER", "bob")
