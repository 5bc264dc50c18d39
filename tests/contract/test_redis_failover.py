"""The Redis store after a failover to a replica: what the replica lacks is noticed, and is an error."""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager

import pytest
from redis_pairs import Pair, Switch, replicated
from redis_servers import Engine, engines

from headwater.entries import Entry
from headwater.errors import Expired, OutOfSequence, StoreError
from headwater.events import Error, TextDelta
from headwater.log.logs import Logs
from headwater.log.redis.store import RedisStore
from headwater.log.store import Lease, Limits
from headwater.offsets import Offset
from headwater.testing.contract_harness import ALICE, BOB, TEST_TIMEOUT, TTL, WHOLE, entries, entry, reading, run, until

LEASE = 3.0
"""Seconds; far more than a failover takes here, so that an error within them did not wait for the lease."""


@pytest.fixture(params=engines(), ids=lambda engine: engine.name)
def servers(request: pytest.FixtureRequest) -> Generator[Pair, None, None]:
    engine: Engine = request.param
    with replicated(engine) as pair:
        yield pair


@pytest.fixture
async def switch(servers: Pair) -> AsyncGenerator[Switch, None]:
    async with Switch(servers.primary, servers.primary.folder / "switch") as switch:
        yield switch


@asynccontextmanager
async def stores(url: str, count: int = 2) -> AsyncGenerator[list[RedisStore], None]:
    """The stores of several processes at one address."""
    made = [RedisStore(url, Limits(lease=LEASE)) for _ in range(count)]
    try:
        yield made
    finally:
        for each in made:
            await each.aclose()


async def lose(servers: Pair, switch: Switch, store: RedisStore, lease: Lease) -> None:
    """Fail over to a replica that has `a` and `b` of a log, but not the `c` acknowledged after them."""
    await store.append(run("a", "b"), lease)
    await copied(servers, lease.log, 2)
    servers.part()
    await store.append(run("c", begin=3), lease)
    servers.primary.kill()
    await switch.lead_to(servers.replica)


async def copied(servers: Pair, log: str, last: int) -> None:
    """Wait until the replica has a log up to an entry."""
    async with stores(servers.replica.url, 1) as (there,):
        async with asyncio.timeout(TEST_TIMEOUT):
            while not servers.replica.command("KEYS", f"*:{log}") or (await there.describe(log)).last.sequence < last:
                await asyncio.sleep(0.01)


async def test_a_replica_that_has_everything(servers: Pair, switch: Switch) -> None:
    """An answer continues for its writer, for its reader in another process, and for identical requests."""
    async with stores(switch.url) as (store, peer):
        claim = await store.claim("name", "log", ALICE, ttl=TTL)
        assert claim.lease is not None
        await store.append(run("a", "b"), claim.lease)
        task, got = await reading(peer, "log")
        await until(lambda: len(got) == 2)
        servers.promote()
        await switch.lead_to(servers.replica)
        assert (await peer.claim("name", "next", BOB, ttl=TTL)).log == "log"
        await store.append(run("c", begin=3), claim.lease)
        await until(lambda: len(got) == 3)
        await store.seal([entry(4, WHOLE)], claim.lease)
        assert [each.offset.sequence for each in await task] == [1, 2, 3, 4]


async def test_a_replica_without_the_last_words(servers: Pair, switch: Switch) -> None:
    """An append or ending that would leave a hole is refused; readers beyond it get `lost` when the lease lapses."""
    async with stores(switch.url) as (store, peer):
        claim = await store.claim("name", "log", ALICE, ttl=TTL)
        assert claim.lease is not None
        task, got = await reading(peer, "log")
        await lose(servers, switch, store, claim.lease)
        with pytest.raises(OutOfSequence):
            await store.append(run("d", begin=4), claim.lease)
        with pytest.raises(OutOfSequence):
            await store.seal([entry(4, WHOLE)], claim.lease)
        # Refused appends did not renew the lease.
        rest = [each async for page in peer.read("log", Offset(1, 3)) for each in page]
        assert [each.offset for each in rest] == [Offset(2, 3)]
        assert isinstance(rest[0].event, Error)
        assert rest[0].event.code == "lost"
        await task
        assert [each.offset for each in got][-2:] in ([Offset(1, 2), Offset(2, 3)], [Offset(1, 3), Offset(2, 3)])
        with pytest.raises(Expired):
            await entries(peer, "log", Offset(2, 4))
        assert (await peer.claim("name", "next", BOB, ttl=TTL)).won


async def test_local_readers_do_not_wait_for_the_lease(servers: Pair, switch: Switch) -> None:
    """The writer learns from its next append that entries are gone, and its local readers get an error at once."""
    async with stores(switch.url) as (store, _):
        logs = Logs(store)
        lease = await store.open("log", ALICE, ttl=TTL)
        shown: list[Entry] = []

        async def near() -> None:
            async for page in logs.read("log"):
                shown.extend(page)

        async with logs.write(lease) as writer:
            task = asyncio.create_task(near())
            writer.append([TextDelta("a")])
            await copied(servers, "log", 1)
            servers.part()
            writer.append([TextDelta("b")])
            async with stores(servers.primary.url, 1) as (there,):
                await until_at(there, 2)
            servers.primary.kill()
            await switch.lead_to(servers.replica)
            begin = time.monotonic()
            writer.append([TextDelta("c")])
            async with asyncio.timeout(TEST_TIMEOUT):
                await task
            assert time.monotonic() - begin < LEASE / 2
            assert isinstance(shown[-1].event, Error)
            assert shown[-1].event.code == "lost"


async def until_at(store: RedisStore, last: int) -> None:
    """Wait until the log is stored up to an entry."""
    async with asyncio.timeout(TEST_TIMEOUT):
        while (await store.describe("log")).last.sequence < last:
            await asyncio.sleep(0.01)


async def test_an_ending_that_the_replica_lacks(servers: Pair, switch: Switch) -> None:
    """An answer whose ending was lost in a failover is no hit: its lease lapses, it ends `lost`, its name is free."""
    async with stores(switch.url) as (store, peer):
        claim = await store.claim("name", "log", ALICE, ttl=TTL)
        assert claim.lease is not None
        await store.append(run("a", "b"), claim.lease)
        await copied(servers, "log", 2)
        servers.part()
        await store.seal([*run("c", begin=3), entry(4, WHOLE)], claim.lease)
        servers.primary.kill()
        await switch.lead_to(servers.replica)
        found = await entries(peer, "log")
        assert [each.offset for each in found] == [Offset(1, 1), Offset(1, 2), Offset(2, 3)]
        assert await peer.find("name", BOB) is None
        # A reader that had seen the lost ending gets an error, not an empty rest.
        with pytest.raises(Expired):
            await entries(peer, "log", Offset(2, 4))


async def test_a_url_that_leads_to_a_replica(servers: Pair) -> None:
    """Every write and the check fail at once, with an error that names the replica; reads work."""
    async with stores(servers.primary.url, 1) as (store,):
        lease = await store.open("log", ALICE, ttl=TTL)
        await store.append(run("a"), lease)
    await copied(servers, "log", 1)
    async with stores(servers.replica.url, 1) as (store,):
        begin = time.monotonic()
        for step in (
            store.claim("name", "next", ALICE, ttl=TTL),
            store.open("next", ALICE, ttl=TTL),
            store.append(run("b", begin=2), lease),
            store.seal([entry(2, WHOLE)], lease),
            store.stop("log", ALICE.subject),
            store.constant("a", b"b"),
            store.check(),
        ):
            with pytest.raises(StoreError, match="a replica that takes no writes"):
                await step
        assert len(await entries(store, "log", follow=False)) == 1
        assert time.monotonic() - begin < LEASE
