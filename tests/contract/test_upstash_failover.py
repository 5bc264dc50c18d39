"""The Upstash store when its database lost the last entries of a log, as a failover may."""

from collections.abc import AsyncGenerator, Generator

import pytest
from redis_pairs import Pair, Switch, replicated
from redis_servers import engines
from upstash_double import upstash_before

from headwater.errors import Expired, NoSuchLog, OutOfSequence
from headwater.log.store import Lease, Limits
from headwater.log.upstash.store import UpstashStore
from headwater.offsets import Offset
from headwater.testing.contract_harness import ALICE, BOB, TTL, WHOLE, entries, entry, reading, run, until


@pytest.fixture
def servers() -> Generator[Pair, None, None]:
    with replicated(engines()[0]) as pair:
        yield pair


@pytest.fixture
async def switch(servers: Pair) -> AsyncGenerator[Switch, None]:
    async with Switch(servers.primary, servers.primary.folder / "switch") as switch:
        yield switch


@pytest.fixture
async def stores(switch: Switch) -> AsyncGenerator[list[UpstashStore], None]:
    """The stores of two servers on the database at that address."""
    with upstash_before(str(switch.path)) as double:
        made = [UpstashStore(double.url, double.token, Limits(lease=3.0)) for _ in range(2)]
        yield made
        for each in made:
            await each.aclose()


async def lose(servers: Pair, switch: Switch, store: UpstashStore, lease: Lease) -> None:
    """Fail over to a replica that has `a` and `b` of a log, but not the `c` acknowledged after them."""
    await store.append(run("a", "b"), lease)
    servers.wait_for_the_copy()
    servers.part()
    await store.append(run("c", begin=3), lease)
    servers.primary.kill()
    await switch.lead_to(servers.replica)


async def test_lost_entries_are_noticed_by_everyone(servers: Pair, switch: Switch, stores: list[UpstashStore]) -> None:
    """A plain append leaves a hole that no reader gets past: readers get an error there, the writer at its seal."""
    store, peer = stores
    claim = await store.claim("name", "log", ALICE, ttl=TTL)
    assert claim.lease is not None
    lease = claim.lease
    await lose(servers, switch, store, lease)
    task, got = await reading(peer, "log")
    await until(lambda: len(got) == 2)
    await store.append(run("d", begin=4), lease)
    with pytest.raises(Expired, match="has lost entries"):
        await task
    assert len(got) == 2
    for after in (Offset(1, 1), Offset(1, 2)):
        with pytest.raises(Expired, match="has lost entries"):
            await entries(peer, "log", after)
    with pytest.raises((Expired, NoSuchLog, OutOfSequence)):
        await store.seal([entry(5, WHOLE)], lease)
    # A reader that got `c` before misses nothing; like everyone it gets `lost`.
    assert [each.offset for each in await entries(peer, "log", Offset(1, 3))] == [Offset(1, 4), Offset(2, 5)]
    assert await peer.find("name", BOB) is None
    assert (await peer.claim("name", "next", BOB, ttl=TTL)).won
    assert servers.replica.keys_without_ttl() == []


async def test_an_ending_after_lost_entries(servers: Pair, switch: Switch, stores: list[UpstashStore]) -> None:
    """A seal after a hole is refused, and the log ends `lost` when the lease has lapsed."""
    store, peer = stores
    lease = await store.open("log", ALICE, ttl=TTL)
    await lose(servers, switch, store, lease)
    with pytest.raises((Expired, NoSuchLog, OutOfSequence)):
        await store.seal([entry(4, WHOLE)], lease)
    found = await entries(peer, "log")
    assert [each.offset for each in found] == [Offset(1, 1), Offset(1, 2), Offset(2, 3)]
    await until(lambda: servers.replica.keys_without_ttl() == [])
