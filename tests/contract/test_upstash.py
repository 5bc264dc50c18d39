"""The Upstash store keeps the contract over a double of the service; on request one test runs over the service."""

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator

import pytest
from upstash_double import UpstashDouble

from headwater.errors import Expired
from headwater.log.logs import Logs
from headwater.log.lua.script import key
from headwater.log.redis.store import RedisStore
from headwater.log.store import Limits, Terms
from headwater.log.upstash.store import UpstashStore
from headwater.testing.contract import Clock, Harness, StoreContract
from headwater.testing.contract_harness import ALICE, BOB, TTL, WHOLE, entries, entry, reading, run, seen, texts, until

URL, TOKEN = os.environ.get("UPSTASH_REDIS_REST_URL"), os.environ.get("UPSTASH_REDIS_REST_TOKEN")
live = pytest.mark.skipif(
    not (URL and TOKEN and os.environ.get("HEADWATER_LIVE") == "1"),
    reason="the real Upstash: set UPSTASH_REDIS_REST_URL, UPSTASH_REDIS_REST_TOKEN and HEADWATER_LIVE=1",
)


def lasting(upstash: UpstashDouble) -> list[bytes]:
    return [each for each in upstash.engine.scan_iter() if upstash.engine.ttl(each) == -1]


class TestUpstashStore(StoreContract):
    @pytest.fixture
    async def harness(self, limits: Limits, upstash: UpstashDouble) -> AsyncGenerator[Harness, None]:
        clock = Clock()
        store, peer = (UpstashStore(upstash.url, upstash.token, limits, clock) for _ in range(2))
        yield Harness(store, peer, clock, stop_by_heartbeat=True)
        await peer.aclose()
        await store.aclose()
        assert lasting(upstash) == [], "keys without a TTL"


async def test_nothing_is_sent_before_the_first_call(upstash: UpstashDouble) -> None:
    """Making a store, and closing one that was never used, sends nothing."""
    await UpstashStore(upstash.url, upstash.token).aclose()
    assert upstash.requests == []


async def test_the_same_database_over_the_redis_protocol(here: UpstashStore, upstash: UpstashDouble) -> None:
    """A server that reaches the database by the Redis protocol follows and stops logs that are written over REST."""
    other = RedisStore(f"unix://{upstash.path}")
    claim = await here.claim("name", "log", ALICE, ttl=TTL)
    assert claim.lease is not None
    task, got = await reading(other, "log")
    await here.append(run("ü \U0001f600 \\ \"'\n", "b"), claim.lease)
    await until(lambda: len(got) == 2)
    assert await other.stop("log", ALICE.subject)
    assert (await here.append([], claim.lease)).stop == ALICE.subject
    await here.seal([entry(3, WHOLE)], claim.lease)
    assert seen(await task) == seen(await entries(here, "log"))
    await other.aclose()


async def test_a_stop_in_the_same_process(here: UpstashStore) -> None:
    """A stop through the writer's own server wakes it at once, but not after it has ceased to listen."""
    lease = await here.open("log", ALICE, ttl=TTL)
    woken: list[str] = []
    here.listen(lease, lambda: woken.append("ceased"))()
    cease = here.listen(lease, lambda: woken.append("listens"))
    await here.stop("log", ALICE.subject)
    assert woken == ["listens"]
    cease()


async def test_a_stop_while_the_model_talks(here: UpstashStore, there: UpstashStore, upstash: UpstashDouble) -> None:
    """A stop through another server reaches the writer with its next append, although plain appends do not ask."""
    lease = await here.open("log", ALICE, ttl=TTL)
    await here.append(run("a"), lease)
    assert await there.stop("log", ALICE.subject)
    for begin in (2, 3):
        assert (await here.append(run("b", begin=begin), lease)).stop == ALICE.subject
    assert upstash.requests == ["EVAL", "/pipeline", "EVAL", "/pipeline", "EVAL", "/pipeline"]


async def test_a_stop_while_the_model_is_silent(
    here: UpstashStore, there: UpstashStore, upstash: UpstashDouble
) -> None:
    """A stop through another server reaches a writer without events within a second and a round trip."""
    lease = await here.open("log", ALICE, ttl=TTL)
    async with Logs(here).write(lease) as writer:
        interrupted = asyncio.Event()
        writer.interrupt = interrupted.set
        await until(lambda: upstash.requests.count("/pipeline") >= 2)  # its heartbeats have begun
        assert await there.stop("log", ALICE.subject)
        async with asyncio.timeout(1.3):
            await interrupted.wait()
        assert writer.stop == ALICE.subject


async def test_scripts_of_a_writer_lock_their_own_keys(here: UpstashStore, upstash: UpstashDouble) -> None:
    """A writer's scripts make Upstash lock the keys of its log only, and use no other key."""
    claim = await here.claim("name", "log", ALICE, ttl=TTL, terms=Terms(binds="other name"))
    assert claim.lease is not None
    before = upstash.locked
    await here.append(run("a"), claim.lease)
    await here.append(run("a"), claim.lease)  # a retry, which a script compares with what is stored
    await here.seal([entry(2, WHOLE)], claim.lease)
    assert upstash.locked - before == 2
    assert await here.find("other name", BOB) is not None


async def test_a_database_that_knows_no_such_lock(here: UpstashStore, upstash: UpstashDouble) -> None:
    """Where the flag for that lock is unknown, the store works without it, and warns once."""
    upstash.locking = False
    lease = await here.open("log", ALICE, ttl=TTL)
    await here.append(run("a"), lease)
    await here.append(run("a", "b"), lease)  # partly a retry, which a script compares with what is stored
    await here.seal([entry(3, WHOLE)], lease)
    assert len(await entries(here, "log")) == 3
    assert upstash.requests.count("EVAL") == 1 + (2 + 1) + 1


async def test_a_log_of_large_entries(here: UpstashStore) -> None:
    """Entries beyond the size of one request or reply are sent and read in several."""
    lease = await here.open("log", ALICE, ttl=TTL)
    pieces = ['"' * 30_000 + str(i) for i in range(60)]
    await here.append(run(*pieces[:40]), lease)
    await here.seal([*run(*pieces[40:], begin=41), entry(61, WHOLE)], lease)
    assert await texts(here, "log") == pieces
    assert len(await entries(here, "log")) == 61


@live
async def test_the_real_service() -> None:
    """The service itself runs the scripts, with their locks: a log is claimed, followed, stopped, sealed, deleted."""
    assert URL is not None
    assert TOKEN is not None
    store, peer = UpstashStore(URL, TOKEN), UpstashStore(URL, TOKEN)
    tag = secrets.token_hex(8)
    claim = await store.claim(f"{tag}:name", f"{tag}:log", ALICE, ttl=TTL)
    assert claim.lease is not None
    task, got = await reading(peer, claim.log)
    written = run("a", 'ü \U0001f600 \uffff \x00 \\ "')
    await store.append(written, claim.lease)
    await until(lambda: len(got) == 2)
    assert got == written
    assert await peer.stop(claim.log, ALICE.subject)
    assert (await store.append(run("c", begin=3), claim.lease)).stop == ALICE.subject
    await store.seal([entry(4, WHOLE)], claim.lease)
    assert [each.offset.sequence for each in await task] == [1, 2, 3, 4]
    found = await peer.find(f"{tag}:name", BOB)
    assert found is not None
    assert found.log == claim.log
    value = os.urandom(32)
    assert await store.constant(f"{tag}:constant", value) == value == await peer.constant(f"{tag}:constant", b"late")
    await peer.forget(claim.log)
    with pytest.raises(Expired):
        await store.describe(claim.log)
    await store.rest.execute("DEL", key("constant", f"{tag}:constant").decode())
    await peer.aclose()
    await store.aclose()
