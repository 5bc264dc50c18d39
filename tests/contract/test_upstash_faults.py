"""When requests to Upstash fail, or their replies get lost: nothing is doubled, nothing looks empty, nobody hangs."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Generator
from typing import NamedTuple

import pytest
from upstash_double import Fault, UpstashDouble, upstash_double

from headwater.errors import Expired, NoSuchLog, StoreError
from headwater.events import Finish, TextDelta
from headwater.log.logs import Logs
from headwater.log.upstash import UpstashStore
from headwater.log.upstash_rest import UpstashRest
from headwater.offsets import ORIGIN
from headwater.testing.contract_harness import (
    ALICE,
    BOB,
    QUICK,
    TTL,
    WHOLE,
    entries,
    entry,
    reading,
    run,
    texts,
    until,
)


class Stores(NamedTuple):
    """Two servers' handles on one database."""

    here: UpstashStore
    there: UpstashStore


@pytest.fixture(scope="module")
def running() -> Generator[UpstashDouble, None, None]:
    with upstash_double() as double:
        yield double


@pytest.fixture
def upstash(running: UpstashDouble) -> UpstashDouble:
    running.reset()
    return running


@pytest.fixture
async def stores(upstash: UpstashDouble) -> AsyncGenerator[Stores, None]:
    stores = Stores(*(UpstashStore(upstash.url, upstash.token) for _ in range(2)))
    yield stores
    for store in stores:
        await store.aclose()


LOST, REFUSED = Fault(lost=True), Fault(500)


@pytest.mark.parametrize("fault", [LOST, REFUSED], ids=["lost", "refused"])
async def test_every_step_once_in_vain(stores: Stores, upstash: UpstashDouble, fault: Fault) -> None:
    """A log comes out as if nothing had been, when each of its steps had to be sent twice."""
    store = stores.here
    upstash.faults.append(fault)
    claim = await store.claim("name", "log", ALICE, ttl=TTL)
    assert claim.won
    assert claim.lease is not None
    for begin in (1, 3, 5):
        upstash.faults.append(fault)
        await store.append(run("a", "b", begin=begin), claim.lease)
    upstash.faults.append(fault)
    await store.seal([*run("c", begin=7), entry(8, WHOLE)], claim.lease)
    upstash.faults.append(fault)
    found = await store.find("name", BOB)
    assert found is not None
    assert found.log == "log"
    upstash.faults.append(fault)
    assert [each.offset.sequence for each in await entries(stores.there, "log")] == list(range(1, 9))
    upstash.faults.append(fault)
    assert await store.constant("secret", b"\xff\x00") == b"\xff\x00"
    upstash.faults.append(fault)
    lease = await store.open("other", ALICE, ttl=TTL)
    upstash.faults.append(fault)
    assert await stores.there.stop(lease.log, ALICE.subject)
    assert (await store.append([], lease)).stop == ALICE.subject


async def test_a_reply_that_comes_too_late(stores: Stores, upstash: UpstashDouble) -> None:
    """An append whose reply took longer than its time limit is sent again and stored once."""
    store = stores.here
    lease = await store.open("log", ALICE, ttl=TTL)
    impatient = UpstashRest(upstash.url, upstash.token, timeout=0.1)
    patient, store.rest = store.rest, impatient
    upstash.faults.append(Fault(delay=0.4))
    await store.append(run("a", "b"), lease)
    upstash.faults.append(Fault(delay=0.4))
    await store.seal([*run("c", begin=3), entry(4, WHOLE)], lease)
    store.rest = patient
    assert await texts(stores.there, "log") == ["a", "b", "c"]
    await impatient.aclose()


async def test_a_whole_answer_over_a_bad_line(stores: Stores, upstash: UpstashDouble) -> None:
    """An answer whose every other request went wrong is read by others exactly as it was read here."""
    store = stores.here
    store.flush = type(store.flush)(interval=0.02, events=50)
    lease = await store.open("log", ALICE, ttl=TTL)
    faults = itertools.cycle([LOST, Fault(), REFUSED, Fault(), Fault(429)])
    async with Logs(store).write(lease) as writer:
        for i in range(300):
            if i % 25 == 0:
                upstash.faults.append(next(faults))
            writer.append([TextDelta(f"{i} ")])
            await writer.room()
        await writer.seal(Finish("stop"))
        shown = [each async for page in writer.read(ORIGIN) for each in page]
    upstash.faults.clear()
    assert await entries(stores.there, "log") == shown
    assert len(shown) == 301


async def test_a_store_that_stays_away(stores: Stores, upstash: UpstashDouble) -> None:
    """While Upstash is down every call is an error, and none an empty answer; afterwards all is there."""
    lease = await stores.here.open("log", ALICE, ttl=TTL)
    await stores.here.append(run("a"), lease)
    upstash.down = True
    calls = (
        stores.here.claim("name", "new", ALICE, ttl=TTL),
        stores.here.find("name", ALICE),
        stores.here.append(run("b", begin=2), lease),
        stores.here.describe("log"),
        stores.there.stop("log", ALICE.subject),
        stores.there.constant("secret", b"a"),
        entries(stores.there, "log", follow=False),
    )
    assert {type(each) for each in await asyncio.gather(*calls, return_exceptions=True)} == {StoreError}
    upstash.down = False
    await stores.here.append(run("b", begin=2), lease)
    assert await texts(stores.there, "log") == ["a", "b"]


async def test_a_reader_rides_out_a_failure(stores: Stores, upstash: UpstashDouble) -> None:
    """A reader who waits while Upstash is down for a moment gets the rest when it is back, whole."""
    lease = await stores.here.open("log", ALICE, ttl=TTL)
    await stores.here.append(run("a"), lease)
    task, got = await reading(stores.there, "log")
    await until(lambda: len(got) == 1)
    sent = stores.there.rest.commands
    upstash.down = True
    await until(lambda: stores.there.rest.commands >= sent + 2)
    upstash.down = False
    await stores.here.seal([*run("b", begin=2), entry(3, WHOLE)], lease)
    assert len(await task) == 3


async def test_a_reader_whose_store_is_gone(upstash: UpstashDouble) -> None:
    """A reader who waits for longer than a lease while Upstash is down hears that; they do not hang."""
    store, peer = (UpstashStore(upstash.url, upstash.token, QUICK) for _ in range(2))
    await store.open("log", ALICE, ttl=TTL)
    task, _ = await reading(peer, "log")
    await until(lambda: peer.rest.commands >= 1)
    upstash.down = True
    with pytest.raises(StoreError, match="503"):
        await task
    await peer.aclose()
    await store.aclose()


async def test_a_reader_who_waits_when_the_store_closes(stores: Stores) -> None:
    """A store that closes leaves no reader waiting; they hear that it was closed, not that the answer is over."""
    lease = await stores.here.open("log", ALICE, ttl=TTL)
    await stores.here.append(run("a"), lease)
    task, got = await reading(stores.there, "log")
    await until(lambda: len(got) == 1)
    await stores.there.aclose()
    with pytest.raises(StoreError, match="closed"):
        async with asyncio.timeout(1):
            await task


async def test_a_log_that_vanishes(stores: Stores, upstash: UpstashDouble) -> None:
    """When the database loses a log, its reader hears that it is gone and its writer that there is none."""
    lease = await stores.here.open("log", ALICE, ttl=TTL)
    await stores.here.append(run("a"), lease)
    task, got = await reading(stores.there, "log")
    await until(lambda: len(got) == 1)
    upstash.engine.flushall()
    with pytest.raises(NoSuchLog):
        await stores.here.append(run("b", begin=2), lease)
    with pytest.raises(Expired):
        await task
    assert upstash.engine.dbsize() == 0


async def test_half_a_log_that_vanishes(stores: Stores, upstash: UpstashDouble) -> None:
    """When the database evicts the entries and keeps the rest, nothing is written on and nothing looks whole."""
    lease = await stores.here.open("log", ALICE, ttl=TTL)
    await stores.here.append(run("a", "b"), lease)
    (key,) = upstash.engine.keys("*:entries:*")
    upstash.engine.delete(key)
    with pytest.raises(Expired):
        await stores.here.append(run("c", begin=3), lease)
    with pytest.raises(Expired):
        await entries(stores.there, "log")


async def test_a_name_that_is_no_text(stores: Stores) -> None:
    """Half of a surrogate pair, out of a stranger's URL, is an unknown log and no crash."""
    with pytest.raises(NoSuchLog):
        await stores.here.describe("log-\ud800")
