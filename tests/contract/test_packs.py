"""Packs, series and leases in Redis, by either of its stores, and logs that have lost some of them."""

from collections.abc import AsyncGenerator

import msgspec
import pytest
from upstash_double import UpstashDouble

from headwater.errors import Expired, Fenced, NoSuchLog, OutOfSequence, StoreError
from headwater.events import Error, TextDelta
from headwater.log.lua.script import key
from headwater.log.packs import PACK, packed
from headwater.log.redis.store import RedisStore
from headwater.log.store import Lease
from headwater.log.upstash.store import UpstashStore
from headwater.log.upstash.times import UpstashTimes
from headwater.offsets import Offset
from headwater.testing.contract_harness import ALICE, BOB, TTL, WHOLE, entries, entry, reading, run, seen, texts, until

Store = RedisStore | UpstashStore


@pytest.fixture(params=["redis", "upstash"])
async def store(
    request: pytest.FixtureRequest, upstash: UpstashDouble, times: UpstashTimes
) -> AsyncGenerator[Store, None]:
    if request.param == "redis":
        store = RedisStore(f"unix://{upstash.path}")
    else:
        store = UpstashStore(upstash.url, upstash.token, times=times)
    yield store
    await store.aclose()


@pytest.fixture
async def lease(store: Store) -> Lease:
    """The lease of a log that was just claimed."""
    claim = await store.claim("name", "log", ALICE, ttl=TTL)
    assert claim.lease is not None
    return claim.lease


async def test_an_append_is_one_pack(store: Store, lease: Lease, upstash: UpstashDouble) -> None:
    """An append is one entry of the stream, however many entries of the log it has."""
    await store.append(run(*"abc"), lease)
    await store.append(run(*"de", begin=4), lease)
    await store.seal([entry(6, WHOLE)], lease)
    ids = [id for id, _ in upstash.engine.xrange(key("packs", "log"))]
    assert ids == [b"1-0", b"1-1", b"1-4", b"1-6"]


async def test_a_large_append(store: Store, lease: Lease, upstash: UpstashDouble) -> None:
    """An append larger than a pack takes several, and is read back whole and in order."""
    large = ["x" * (PACK // 3) + str(i) for i in range(10)]
    await store.append(run(*large), lease)
    assert upstash.engine.xlen(key("packs", "log")) == 1 + len(packed(run(*large)))
    assert await texts(store, "log") == large


async def test_an_entry_of_two_lines(store: Store, lease: Lease) -> None:
    """An entry with a newline is refused, because entries are lines and it would come back as two."""
    broken = msgspec.structs.replace(entry(1, TextDelta("a")), data=b"[1,\n2]")
    with pytest.raises(StoreError, match="newline"):
        await store.append([broken], lease)
    assert await texts(store, "log") == []


@pytest.mark.parametrize("lost", [False, True], ids=["sealed", "lost"])
async def test_every_offset_of_a_log_that_was_asked_to_stop(
    store: Store, lease: Lease, upstash: UpstashDouble, lost: bool
) -> None:
    """Entries written after a stop was requested follow those written before, from every offset."""
    task, _ = await reading(store, "log")
    await store.append(run(*"abc"), lease)
    await store.stop("log", ALICE.subject)
    for begin in (1, 2, 4, 6):  # three entries each; the second append is a retry that reaches across the stop
        assert (await store.append(run(*"abcdefgh"[begin - 1 : begin + 2], begin=begin), lease)).stop == ALICE.subject
    with pytest.raises(OutOfSequence):
        await store.append(run(*"cx", begin=3), lease)
    if lost:
        upstash.engine.delete(key("lease", "log"))
    else:
        await store.seal([entry(9, WHOLE)], lease)
    whole = await entries(store, "log")
    assert [each.event.text for each in whole if isinstance(each.event, TextDelta)] == list("abcdefgh")
    for n in range(len(whole)):
        assert await entries(store, "log", Offset(1, n)) == whole[n:]
    assert seen(await task) == seen(whole)


async def test_a_lease_that_was_evicted_and_nobody_noticed(store: Store, lease: Lease, upstash: UpstashDouble) -> None:
    """A writer whose lease was evicted renews it, by entries or by a heartbeat, and still learns of a stop."""
    await store.append(run("a"), lease)
    await store.stop("log", ALICE.subject)
    for late in (run("b", begin=2), []):
        upstash.engine.delete(key("lease", "log"))
        await store.append(late, lease)
        if isinstance(store, RedisStore) or not late:  # over REST only a heartbeat renews it, within a second
            assert upstash.engine.exists(key("lease", "log"))
        assert (await store.append([], lease)).stop == ALICE.subject
    assert await texts(store, "log") == ["a", "b"]


async def test_a_lease_that_was_evicted_and_a_reader_noticed(
    store: Store, lease: Lease, upstash: UpstashDouble
) -> None:
    """A log without a lease is sealed `lost` by its next reader; its writer is fenced off, and its name is free."""
    await store.append(run("a"), lease)
    upstash.engine.delete(key("lease", "log"))
    got = await entries(store, "log")
    assert isinstance(got[-1].event, Error)
    assert [each.offset for each in got] == [(1, 1), (2, 2)]
    for late in (run("b", begin=2), []):
        with pytest.raises(Fenced):
            await store.append(late, lease)
    with pytest.raises(Fenced):
        await store.seal([entry(2, WHOLE)], lease)
    assert (await store.claim("name", "next", BOB, ttl=TTL)).won


@pytest.mark.parametrize("kind", ["packs", "log"])
async def test_an_eviction(store: Store, lease: Lease, upstash: UpstashDouble, kind: str) -> None:
    """A log of which a part was evicted is an error for its reader, and for its writer at its seal at the latest."""
    await store.append(run("a"), lease)
    task, got = await reading(store, "log")
    await until(lambda: len(got) == 1)
    upstash.engine.delete(key(kind, "log"))
    with pytest.raises((Expired, NoSuchLog)):
        await store.append(run("b", begin=2), lease)
        await store.seal([entry(3, WHOLE)], lease)
    upstash.engine.delete(key("lease", "log"))  # as if it had lapsed, because the writer has given up
    with pytest.raises(Expired):
        await task
    with pytest.raises((Expired, NoSuchLog)):
        await entries(store, "log")
    assert (await store.claim("name", "next", BOB, ttl=TTL)).won


async def test_an_empty_log_that_was_evicted(store: Store, lease: Lease, upstash: UpstashDouble) -> None:
    """A log whose stream was evicted before its first entry is `Expired`, not an empty log."""
    upstash.engine.delete(key("packs", "log"))
    with pytest.raises(Expired):
        await store.append(run("a"), lease)
    with pytest.raises(Expired):
        await entries(store, "log")


async def test_a_failover_that_lost_a_tail(store: Store, lease: Lease, upstash: UpstashDouble) -> None:
    """A log that a lagging replica has without its tail is neither sealed nor read as whole."""
    await store.append(run("a"), lease)
    before = upstash.engine.dump(key("packs", "log"))
    await store.append(run("b", begin=2), lease)
    upstash.engine.restore(key("packs", "log"), 60_000, before, replace=True)
    with pytest.raises((OutOfSequence, Expired)):
        await store.append(run("c", begin=3), lease)
        await store.seal([entry(4, WHOLE)], lease)
    upstash.engine.delete(key("lease", "log"))
    if isinstance(store, RedisStore):  # it took no entry after the hole
        assert [each.offset for each in await entries(store, "log")] == [(1, 1), (2, 2)]
    else:
        with pytest.raises(Expired):
            await entries(store, "log")
    assert await store.find("name", BOB) is None


@pytest.mark.parametrize("times", [UpstashTimes(renew_ttls=0.0)], ids=["always by script"])
async def test_ttls_are_renewed_when_half_of_the_spare_is_used(
    store: Store, lease: Lease, upstash: UpstashDouble
) -> None:
    """A log that is written for long outlives its first TTLs; most appends do not renew them."""
    keys = [key("packs", "log"), key("log", "log"), key("name", "name")]
    given = [upstash.engine.pttl(each) for each in keys]
    await store.append(run("a"), lease)
    assert all(upstash.engine.pttl(each) <= ttl for each, ttl in zip(keys, given, strict=True))
    # As if more than half of the spare time had passed.
    later = int(upstash.engine.hget(key("log", "log"), "kept")) - 301_000
    upstash.engine.hset(key("log", "log"), "kept", later)
    for each in keys:
        upstash.engine.expire(each, 100)
    await store.append(run("b", begin=2), lease)
    assert all(upstash.engine.pttl(each) >= ttl - 1000 for each, ttl in zip(keys, given, strict=True))
