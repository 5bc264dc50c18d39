"""The Redis store keeps the contract over real servers and a real cluster, and gives every key a TTL."""

import asyncio
import gc
import secrets
from collections.abc import AsyncGenerator, Generator, Sequence
from typing import Any

import pytest
from redis.crc import key_slot
from redis_servers import Engine, Server, clustered, engines, serving
from tagged import Tagged

from headwater.cache.key import log_id
from headwater.errors import StoreError
from headwater.log.logs import Logs
from headwater.log.lua.documents import LuaDocuments
from headwater.log.lua.script import Argument, Script, key
from headwater.log.redis.client import RedisClient
from headwater.log.redis.store import RedisStore
from headwater.log.redis.times import RedisTimes
from headwater.log.store import Document, Lease, Limits
from headwater.offsets import TAG
from headwater.principal import LEAVES
from headwater.testing.contract import LIMITS, Clock, Harness, StoreContract
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


@pytest.fixture(scope="module", params=engines(), ids=lambda engine: engine.name)
def engine(request: pytest.FixtureRequest) -> Engine:
    return request.param


@pytest.fixture(scope="module")
def server(engine: Engine) -> Generator[Server, None, None]:
    with serving(engine) as server:
        yield server


@pytest.fixture(scope="module")
def cluster() -> Generator[list[Server], None, None]:
    with clustered(engines()[0]) as servers:
        yield servers


def url(cluster: list[Server]) -> str:
    return cluster[0].url.replace("redis://", "redis+cluster://")


class TestRedisStore(StoreContract):
    @pytest.fixture
    async def harness(self, server: Server, limits: Limits) -> AsyncGenerator[Harness, None]:
        server.command("FLUSHALL")
        clock = Clock()
        store, peer = (RedisStore(server.url, limits, clock) for _ in range(2))
        yield Harness(store, peer, clock)
        await peer.aclose()
        await store.aclose()
        assert server.keys_without_ttl() == []


class TestRedisCluster(StoreContract):
    @pytest.fixture
    async def harness(self, cluster: list[Server], limits: Limits) -> AsyncGenerator[Harness, None]:
        for server in cluster:
            server.command("FLUSHALL")
        clock, tag = Clock(), secrets.token_hex(6)
        store, peer = (Tagged(url(cluster), limits, clock, tag) for _ in range(2))
        yield Harness(store, peer, clock)
        await peer.aclose()
        await store.aclose()
        assert [server.keys_without_ttl() for server in cluster] == [[], [], []]


def test_an_invalid_url() -> None:
    """An invalid URL is refused when the store is made."""
    with pytest.raises(StoreError, match="cannot be used"):
        RedisStore("http://127.0.0.1")


async def test_options_of_the_url_that_other_programs_need(server: Server) -> None:
    """They change neither the form of replies nor the time limits."""
    other = "decode_responses=true&protocol=3&socket_timeout=0.000001"
    joint = "&" if "?" in server.url else "?"
    store = RedisStore(f"{server.url}{joint}{other}", LIMITS)
    lease = await store.open("optional", ALICE, ttl=TTL)
    await store.append(run("a"), lease)
    task, got = await reading(store, "optional")
    await until(lambda: len(got) == 1)
    await store.seal([entry(2, WHOLE)], lease)
    assert len(await task) == 2
    await store.aclose()


async def test_a_reader_who_waits_when_the_store_closes(server: Server) -> None:
    """A store that closes leaves no reader waiting: each gets an error, not the end of the answer."""
    server.command("FLUSHALL")
    store, peer = RedisStore(server.url, LIMITS), RedisStore(server.url, LIMITS)
    lease = await store.open("waited", ALICE, ttl=TTL)
    await store.append(run("a"), lease)
    task, got = await reading(peer, "waited")
    await until(lambda: len(got) == 1)
    await peer.aclose()
    with pytest.raises(StoreError, match="closed"):
        async with asyncio.timeout(1):
            await task
    await store.aclose()


async def test_leaving_at_any_moment(server: Server) -> None:
    """A caller that is cancelled in the middle of a command ends: no cancellation is swallowed."""
    server.command("FLUSHALL")
    store = RedisStore(server.url, LIMITS)
    lease = await store.open("left", ALICE, ttl=TTL)

    async def beat() -> None:
        while True:
            await store.append([], lease)

    for iterations in range(60):
        task = asyncio.create_task(beat())
        for _ in range(iterations):
            await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(TEST_TIMEOUT):
            await asyncio.gather(task, return_exceptions=True)
    await store.aclose()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_closing_while_it_connects(server: Server) -> None:
    """A store can be closed while it connects; redis-py may leave the socket to the garbage collector."""
    server.command("FLUSHALL")
    store = RedisStore(server.url, LIMITS)
    lease = await store.open("left", ALICE, ttl=TTL)
    await store.aclose()
    for iterations in range(60):
        store = RedisStore(server.url, LIMITS)
        store.listen(lease, lambda: None)
        for _ in range(iterations):
            await asyncio.sleep(0)
        async with asyncio.timeout(TEST_TIMEOUT):
            await store.aclose()
    gc.collect()  # here, where the warning is expected, not in a later test


async def test_many_readers_cost_what_one_does(server: Server) -> None:
    """A hundred readers in one process cost no more commands than a few would, and each gets every entry."""
    server.command("FLUSHALL")
    store, peer = RedisStore(server.url, LIMITS), RedisStore(server.url, LIMITS)
    lease = await store.open("waited", ALICE, ttl=TTL)
    logs = Logs(peer)
    readers = [await reading(logs, "waited") for _ in range(100)]
    channel = key("wake", "waited")
    await until(lambda: server.command("PUBSUB", "NUMSUB", channel)[1] == 1)
    server.command("CONFIG", "RESETSTAT")
    for i in range(1, 51):
        await store.append(run(str(i), begin=i), lease)
        await until(lambda wanted=i: len(readers[0][1]) == wanted)
    await store.seal([entry(51, WHOLE)], lease)
    assert [len(await task) for task, _ in readers] == [51] * 100
    calls = server.command("INFO", "commandstats")["cmdstat_evalsha"]["calls"]
    assert calls <= 51 * 4
    await peer.aclose()
    await store.aclose()


async def test_logs_all_over_a_cluster(cluster: list[Server]) -> None:
    """Logs on all servers of a cluster are followed and stopped by another process, and names find their logs."""
    store, peer = RedisStore(url(cluster), LIMITS), RedisStore(url(cluster), LIMITS)
    names = [secrets.token_hex(32) for _ in range(30)]
    claims = [await store.claim(name, log_id(name, secrets.token_hex(12)), ALICE, ttl=TTL) for name in names]
    leases = [claim.lease for claim in claims if claim.lease is not None]
    readers = [await reading(peer, lease.log) for lease in leases]
    stopped: list[str] = []
    cease = [store.listen(lease, lambda log=lease.log: stopped.append(log)) for lease in leases]
    for lease in leases:
        await store.append(run("a"), lease)
        assert await peer.stop(lease.log, ALICE.subject)
    await until(lambda: all(len(got) == 1 for _, got in readers))
    await until(lambda: set(stopped) == {lease.log for lease in leases})
    assert all(server.command("DBSIZE") > 0 for server in cluster)
    for lease in leases:
        await store.seal([entry(2, WHOLE)], lease)
    assert [len(await task) for task, _ in readers] == [2] * 30
    for name, lease in zip(names, leases, strict=True):
        found = await peer.find(name, BOB)
        assert found is not None
        assert found.log == lease.log
    for each in cease:
        each()
    await peer.aclose()
    await store.aclose()


async def test_names_that_a_cluster_keeps_apart(cluster: list[Server]) -> None:
    """In a cluster a log whose name may be on another server is refused before anything changes."""
    store = RedisStore(url(cluster), LIMITS)
    with pytest.raises(StoreError, match=f"same {TAG} bytes"):
        await store.claim("name", "log", ALICE, ttl=TTL)
    with pytest.raises(StoreError, match=f"same {TAG} bytes"):
        await store.open("log", ALICE, ttl=TTL, name="name")
    await store.aclose()


async def test_a_cluster_taken_for_a_server(cluster: list[Server]) -> None:
    """A plain URL to a server of a cluster is an error that says how the URL must begin."""
    store = RedisStore(cluster[0].url, LIMITS)
    with pytest.raises(StoreError, match=r"redis\+cluster://"):
        for i in range(50):
            await store.constant(str(i), b"a")
    await store.aclose()


async def test_a_slot_that_moves(cluster: list[Server]) -> None:
    """While a log moves between servers of a cluster, it is there or an error says that it moves; it is never torn."""
    slot = key_slot(key("log", "moving"))
    owners = {each: each.command("CLUSTER", "MYID").decode() for each in cluster}
    here = cluster[slot * len(cluster) // 16384]
    there = cluster[cluster.index(here) - 1]
    store = RedisStore(url(cluster), LIMITS)
    lease = await store.open("moving", ALICE, ttl=TTL)
    await store.append(run("a"), lease)
    there.command("CLUSTER", "SETSLOT", slot, "IMPORTING", owners[here])
    here.command("CLUSTER", "SETSLOT", slot, "MIGRATING", owners[there])
    here.command("MIGRATE", "127.0.0.1", there.port, key("packs", "moving"), 0, 5000)
    with pytest.raises(StoreError, match="moving these keys"):
        await store.append(run("b", begin=2), lease)
    for kind in ("log", "lease"):
        here.command("MIGRATE", "127.0.0.1", there.port, key(kind, "moving"), 0, 5000)
    await store.append(run("b", begin=2), lease)
    for each in (there, here):
        each.command("CLUSTER", "SETSLOT", slot, "NODE", owners[there])
    await store.append(run("c", begin=3), lease)
    assert await texts(store, "moving") == ["a", "b", "c"]
    await store.aclose()


async def test_a_cluster_that_lost_a_server(engine: Engine) -> None:
    """While a server of a cluster is down, its logs are errors, none looks empty, and other logs work."""
    with clustered(engine) as cluster:
        cluster[1].command("CONFIG", "SET", "cluster-require-full-coverage", "no")
        cluster[2].command("CONFIG", "SET", "cluster-require-full-coverage", "no")
        store = RedisStore(url(cluster[1:]), LIMITS)
        logs = [secrets.token_hex(8) for _ in range(20)]
        leases = [await store.open(log, ALICE, ttl=TTL) for log in logs]
        cluster[0].kill()
        answers = await asyncio.gather(*(outcome(store, lease) for lease in leases))
        failures = [str(each) for each in answers if each is not None]
        assert 0 < len(failures) < len(leases)
        assert all("cluster" in each or "cannot be reached" in each for each in failures)
        await store.aclose()


async def test_readers_when_a_cluster_has_lost_a_server(engine: Engine) -> None:
    """Readers of logs on the lost server get an error, and no others: other logs go on to their endings."""
    times = RedisTimes(unreachable_after=1.0)
    with clustered(engine) as cluster:
        for server in cluster[1:]:
            server.command("CONFIG", "SET", "cluster-require-full-coverage", "no")
        store, peer = (RedisStore(url(cluster[1:]), LIMITS, times=times) for _ in range(2))
        leases = [await store.open(secrets.token_hex(8), ALICE, ttl=TTL) for _ in range(12)]
        readers = {lease: (await reading(peer, lease.log))[0] for lease in leases}
        cluster[0].kill()
        answers = await asyncio.gather(*(outcome(store, lease) for lease in leases))
        lost = [lease for lease, failure in zip(leases, answers, strict=True) if failure is not None]
        alive = [lease for lease in leases if lease not in lost]
        assert lost
        assert alive

        async def failed() -> bool:
            await asyncio.gather(*(store.append([], lease) for lease in alive))  # renews their leases
            return all(readers[lease].done() for lease in lost)

        await until(failed)
        for lease in lost:
            with pytest.raises(StoreError):
                await readers[lease]
        for lease in alive:
            await store.seal([entry(2, WHOLE)], lease)
        assert [len(await readers[lease]) for lease in alive] == [2] * len(alive)
        await peer.aclose()
        await store.aclose()


async def outcome(store: RedisStore, lease: Lease) -> StoreError | None:
    """The error of writing and reading a log, or None."""
    try:
        await store.append(run("a"), lease)
        assert len(await entries(store, lease.log, follow=False)) == 1
    except StoreError as error:
        return error
    return None


@pytest.mark.parametrize("collection", ["", "chats"])
async def test_a_put_whose_answer_was_lost(server: Server, collection: str) -> None:
    """A put that is sent again changes nothing more, and returns what its first attempt replaced."""
    client = RedisClient(server.url, RedisTimes(), connections=1)

    async def twice(script: Script, keys: Sequence[bytes], arguments: Sequence[Argument]) -> Any:
        await client.run(script, keys, arguments)
        return await client.run(script, keys, arguments)

    documents = LuaDocuments(twice, lambda: 0.0)
    assert await documents.put("repeated", b"a", ttl=60, version=0, collection=collection) is None
    assert await documents.put("repeated", b"b", ttl=60, collection=collection) == Document(b"a", 1)
    assert await documents.get("repeated", collection=collection) == Document(b"b", 2)
    await client.aclose()


async def test_a_collection_whose_list_of_names_was_evicted(server: Server) -> None:
    """Redis evicts one key and keeps the other: the documents that are there are listed all the same."""
    store = RedisStore(server.url)
    for name in ("b", "a"):
        await store.put(name, name.encode(), ttl=60, collection="evicted")
    server.command("DEL", *(each for each in server.command("KEYS", "*:names:*evicted")))
    await store.put("c", b"c", ttl=60, collection="evicted")
    assert [name for name, _ in await store.list_documents("evicted")] == ["a", "b", "c"]
    server.command("DEL", *(each for each in server.command("KEYS", "*:collection:*evicted")))
    assert await store.list_documents("evicted") == []
    await store.put("d", b"d", ttl=60, collection="evicted")
    assert [name for name, _ in await store.list_documents("evicted")] == ["d"]
    await store.delete_documents("evicted")
    assert server.command("KEYS", "*evicted") == []
    await store.aclose()


async def test_most_documents_of_a_large_collection_expire(server: Server) -> None:
    """However many they are; those of the collection that are left are listed, and the others take no place."""
    clock = Clock()
    store = RedisStore(server.url, clock=clock)
    await asyncio.gather(*(store.put(f"{i}", b"", ttl=60, collection="old") for i in range(2100)))
    await store.put("new", b"", ttl=90, collection="old")
    clock.now += 61
    assert [name for name, _ in await store.list_documents("old")] == ["new"]
    [collection] = server.command("KEYS", "*:collection:*old")
    assert server.command("HLEN", collection) == 3
    await store.aclose()


async def test_more_subjects_that_leave_than_one_command_takes(server: Server) -> None:
    """Ten thousand readers who have left do not keep a log alive."""
    store = RedisStore(server.url)
    await store.open("crowded", ALICE._replace(subject="alice" + LEAVES), ttl=TTL)
    crowd = [word for i in range(10_000) for word in (f"by:{i}{LEAVES}", 1)]
    server.command("HSET", key("log", "crowded").decode(), "subjects", 10_001, *crowd)
    assert await store.stop("crowded", LEAVES)
    await store.aclose()
