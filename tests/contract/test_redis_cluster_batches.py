"""Each server of a cluster gets the scripts of one event loop iteration as one batch, also while keys move."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Generator

import pytest
from redis.crc import key_slot
from redis_servers import Server, clustered, engines

from headwater.errors import StoreError
from headwater.log.lua.script import key
from headwater.log.redis.store import RedisStore
from headwater.log.store import Lease
from headwater.testing.contract import LIMITS
from headwater.testing.contract_harness import ALICE, TTL, run, texts


@pytest.fixture(scope="module")
def cluster() -> Generator[list[Server], None, None]:
    with clustered(engines()[0], 2) as servers:
        yield servers


@pytest.fixture
async def store(cluster: list[Server]) -> AsyncGenerator[RedisStore, None]:
    for server in cluster:
        server.command("FLUSHALL")
    store = RedisStore(cluster[0].url.replace("redis://", "redis+cluster://"), LIMITS)
    yield store
    await store.aclose()


async def opened(store: RedisStore, count: int) -> list[Lease]:
    """Logs all over the cluster, each of which has been written to."""
    leases = [await store.open(secrets.token_hex(8), ALICE, ttl=TTL) for _ in range(count)]
    for lease in leases:
        await store.append(run("a"), lease)
    return leases


def stats(cluster: list[Server]) -> list[tuple[int, int]]:
    """The connections that each server has accepted, and the reads from all of them."""
    found = [server.command("INFO", "stats") for server in cluster]
    return [(each["total_connections_received"], each["total_reads_processed"]) for each in found]


async def test_writers_that_flush_in_one_iteration_share_a_write_to_each_server(
    cluster: list[Server], store: RedisStore
) -> None:
    """Forty appends are one write to each of two servers, over the connections there are."""
    leases = await opened(store, 40)
    before = stats(cluster)
    await asyncio.gather(*(store.append(run("b", begin=2), lease) for lease in leases))
    after = stats(cluster)
    for (connections, reads), (connections_then, reads_then) in zip(after, before, strict=True):
        assert connections - connections_then <= 2  # of `stats` itself
        assert reads - reads_then <= 6  # `stats` reads and greets, twice; forty appends would be twenty reads
    assert all(server.command("DBSIZE") > 0 for server in cluster)


async def test_of_a_batch_only_the_scripts_that_moved_are_sent_elsewhere(
    cluster: list[Server], store: RedisStore
) -> None:
    """While a slot moves, its log is asked for at the other server, in full if that has forgotten the scripts."""
    leases = await opened(store, 20)
    moving = leases[0]
    slot = key_slot(key("log", moving.log))
    here, there = cluster if slot < 16384 // 2 else cluster[::-1]
    owners = {each: each.command("CLUSTER", "MYID").decode() for each in cluster}
    there.command("CLUSTER", "SETSLOT", slot, "IMPORTING", owners[here])
    here.command("CLUSTER", "SETSLOT", slot, "MIGRATING", owners[there])
    for kind in ("packs", "log", "lease"):
        here.command("MIGRATE", "127.0.0.1", there.port, key(kind, moving.log), 0, 5000)
    there.command("SCRIPT", "FLUSH")
    for begin in (2, 3):
        await asyncio.gather(*(store.append(run("x", begin=begin), lease) for lease in leases))
    for each in (there, here):
        each.command("CLUSTER", "SETSLOT", slot, "NODE", owners[there])
    await asyncio.gather(*(store.append(run("y", begin=4), lease) for lease in leases))
    for lease in leases:
        assert await texts(store, lease.log) == ["a", "x", "x", "y"]


async def test_each_caller_gets_its_own_error(cluster: list[Server], store: RedisStore) -> None:
    """However many steps of a batch fail, none raises the exception of another."""
    for server in cluster:
        server.command("CONFIG", "SET", "maxmemory", "1")
    try:
        steps = [store.open(secrets.token_hex(8), ALICE, ttl=TTL) for _ in range(10)]
        errors = await asyncio.gather(*steps, return_exceptions=True)
    finally:
        for server in cluster:
            server.command("CONFIG", "SET", "maxmemory", "0")
    assert [type(each) for each in errors] == [StoreError] * 10
    assert all("out of memory" in str(each) for each in errors)
    assert len({id(each) for each in errors}) == 10
