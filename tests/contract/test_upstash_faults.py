"""When requests to Upstash fail or their replies get lost, nothing is stored twice, looks empty or hangs."""

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest
from upstash_double import Fault, UpstashDouble

from headwater.errors import Expired, NoSuchLog, StoreError
from headwater.events import Finish, TextDelta
from headwater.log.logs import Logs
from headwater.log.lua.script import key
from headwater.log.upstash.rest import UpstashRest
from headwater.log.upstash.store import UpstashStore
from headwater.offsets import ORIGIN
from headwater.testing.contract_harness import (
    ALICE,
    BOB,
    QUICK,
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

LOST, REFUSED = Fault(lost=True), Fault(500)


@pytest.mark.parametrize("fault", [LOST, REFUSED], ids=["lost", "refused"])
async def test_every_step_once_in_vain(
    here: UpstashStore, there: UpstashStore, upstash: UpstashDouble, fault: Fault
) -> None:
    """A log each of whose steps had to be sent twice is the same as any other."""
    upstash.faults.append(fault)
    claim = await here.claim("name", "log", ALICE, ttl=TTL)
    assert claim.won
    assert claim.lease is not None
    for begin in (1, 3, 5):
        upstash.faults.append(fault)
        await here.append(run("a", "b", begin=begin), claim.lease)
    upstash.faults.append(fault)
    await here.seal([*run("c", begin=7), entry(8, WHOLE)], claim.lease)
    upstash.faults.append(fault)
    found = await here.find("name", BOB)
    assert found is not None
    assert found.log == "log"
    upstash.faults.append(fault)
    assert [each.offset.sequence for each in await entries(there, "log")] == list(range(1, 9))
    upstash.faults.append(fault)
    assert await here.constant("secret", b"\xff\x00") == b"\xff\x00"
    upstash.faults.append(fault)
    lease = await here.open("other", ALICE, ttl=TTL)
    upstash.faults.append(fault)
    assert await there.stop(lease.log, ALICE.subject)
    assert (await here.append([], lease)).stop == ALICE.subject
    upstash.faults.append(fault)
    await here.forget(lease.log)
    with pytest.raises(Expired):
        await there.describe(lease.log)


async def test_a_reply_that_comes_too_late(here: UpstashStore, there: UpstashStore, upstash: UpstashDouble) -> None:
    """An append whose reply came after its time limit is sent again and stored once."""
    lease = await here.open("log", ALICE, ttl=TTL)
    impatient = UpstashRest(upstash.url, upstash.token, timeout=0.1)
    patient, here.rest = here.rest, impatient
    upstash.faults.append(Fault(delay=0.4))
    await here.append(run("a", "b"), lease)
    upstash.faults.append(Fault(delay=0.4))
    await here.seal([*run("c", begin=3), entry(4, WHOLE)], lease)
    here.rest = patient
    assert await texts(there, "log") == ["a", "b", "c"]
    await impatient.aclose()


async def test_an_append_that_arrives_too_late(here: UpstashStore, there: UpstashStore, upstash: UpstashDouble) -> None:
    """An append that arrives after its own retry, and after the ending or a deletion, changes nothing."""
    impatient = UpstashRest(upstash.url, upstash.token, timeout=0.1)
    for log in ("sealed", "deleted"):
        lease = await here.open(log, ALICE, ttl=TTL, name=log)
        await here.append(run("a"), lease)
        patient, here.rest = here.rest, impatient
        upstash.faults.append(Fault(late=0.5))
        await here.append(run("b", begin=2), lease)
        here.rest = patient
        if log == "sealed":
            await here.seal([*run("c", begin=3), entry(4, WHOLE)], lease)
        else:
            await here.forget(log)
        sent = len(upstash.requests)
        await until(lambda sent=sent: len(upstash.requests) == sent + 1)
    assert await texts(there, "sealed") == ["a", "b", "c"]
    assert await there.find("sealed", BOB) is not None
    assert upstash.engine.keys("*:deleted") == [key("log", "deleted")]
    await impatient.aclose()


async def test_a_whole_answer_over_a_bad_line(here: UpstashStore, there: UpstashStore, upstash: UpstashDouble) -> None:
    """An answer of which every other request failed is the same for remote readers as for local ones."""
    here.flush = type(here.flush)(interval=0.02, events=50)
    lease = await here.open("log", ALICE, ttl=TTL)
    faults = itertools.cycle([LOST, Fault(), REFUSED, Fault(), Fault(429)])
    async with Logs(here).write(lease) as writer:
        for i in range(300):
            if i % 25 == 0:
                upstash.faults.append(next(faults))
            writer.append([TextDelta(f"{i} ")])
            await writer.room()
        await writer.seal(Finish("stop"))
        shown = [each async for page in writer.read(ORIGIN) for each in page]
    upstash.faults.clear()
    assert await entries(there, "log") == shown
    assert len(shown) == 301


async def test_a_store_that_stays_away(here: UpstashStore, there: UpstashStore, upstash: UpstashDouble) -> None:
    """While Upstash is down, every call is an error and none an empty answer; afterwards everything is there."""
    lease = await here.open("log", ALICE, ttl=TTL)
    await here.append(run("a"), lease)
    upstash.down = True
    calls = (
        here.claim("name", "new", ALICE, ttl=TTL),
        here.find("name", ALICE),
        here.append(run("b", begin=2), lease),
        here.describe("log"),
        there.stop("log", ALICE.subject),
        there.constant("secret", b"a"),
        there.check(),
        entries(there, "log", follow=False),
    )
    assert {type(each) for each in await asyncio.gather(*calls, return_exceptions=True)} == {StoreError}
    upstash.down = False
    await here.append(run("b", begin=2), lease)
    assert await texts(there, "log") == ["a", "b"]


async def test_a_reader_rides_out_a_failure(here: UpstashStore, there: UpstashStore, upstash: UpstashDouble) -> None:
    """A reader that waits while Upstash is down for a moment gets the whole rest when it is back."""
    lease = await here.open("log", ALICE, ttl=TTL)
    await here.append(run("a"), lease)
    task, got = await reading(there, "log")
    await until(lambda: len(got) == 1)
    sent = there.rest.commands
    upstash.down = True
    await until(lambda: there.rest.commands >= sent + 2)
    upstash.down = False
    await here.seal([*run("b", begin=2), entry(3, WHOLE)], lease)
    assert len(await task) == 3


async def test_a_reader_that_joins_from_further_behind(
    here: UpstashStore, there: UpstashStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow reader that joins while a faster one's page is on its way gets no page that would leave it a gap."""
    unclear = StoreError("makes the poll run the script")
    on_its_way, arrives = asyncio.Event(), asyncio.Event()
    run_script = there.rest.eval

    async def pipeline(commands: Sequence[object]) -> list[StoreError]:
        return [unclear for _ in commands]

    async def late(*script: Any) -> object:
        reply = await run_script(*script)
        on_its_way.set()
        await arrives.wait()
        return reply

    lease = await here.open("log", ALICE, ttl=TTL)
    await here.append(run("a", "b"), lease)
    monkeypatch.setattr(there.rest, "pipeline", pipeline)
    async with aclosing(there.read("log")) as slow, aclosing(there.read("log")) as quick, asyncio.timeout(TEST_TIMEOUT):
        behind, ahead = list(await anext(slow)), list(await anext(quick))
        await here.append(run("c", "d", begin=3), lease)
        ahead += await anext(quick)
        monkeypatch.setattr(there.rest, "eval", late)
        await here.append(run("e", begin=5), lease)
        waiting = asyncio.create_task(anext(quick))
        await on_its_way.wait()
        joining = asyncio.create_task(anext(slow))
        await asyncio.sleep(0)  # the slow reader joins
        arrives.set()
        ahead += await waiting
        behind += await joining
    for had in (ahead, behind):
        assert [each.offset.sequence for each in had] == [1, 2, 3, 4, 5]


async def test_a_reader_whose_store_is_gone(upstash: UpstashDouble) -> None:
    """A reader that waits for longer than a lease while Upstash is down gets an error, and does not hang."""
    store, peer = (UpstashStore(upstash.url, upstash.token, QUICK) for _ in range(2))
    await store.open("log", ALICE, ttl=TTL)
    task, _ = await reading(peer, "log")
    await until(lambda: peer.rest.commands >= 1)
    upstash.down = True
    with pytest.raises(StoreError, match="503"):
        await task
    await peer.aclose()
    await store.aclose()


async def test_a_reader_who_waits_when_the_store_closes(here: UpstashStore, there: UpstashStore) -> None:
    """A store that closes leaves no reader waiting: each gets an error, not the end of the answer."""
    lease = await here.open("log", ALICE, ttl=TTL)
    await here.append(run("a"), lease)
    task, got = await reading(there, "log")
    await until(lambda: len(got) == 1)
    await there.aclose()
    with pytest.raises(StoreError, match="closed"):
        async with asyncio.timeout(1):
            await task


async def test_a_log_that_vanishes(here: UpstashStore, there: UpstashStore, upstash: UpstashDouble) -> None:
    """When the database loses a log, its reader gets `Expired` and its writer `NoSuchLog`."""
    lease = await here.open("log", ALICE, ttl=TTL)
    await here.append(run("a"), lease)
    task, got = await reading(there, "log")
    await until(lambda: len(got) == 1)
    upstash.engine.flushall()
    with pytest.raises(NoSuchLog):
        await here.append(run("b", begin=2), lease)
    with pytest.raises(Expired):
        await task
    assert upstash.engine.dbsize() == 0


async def test_a_name_that_is_no_text(here: UpstashStore) -> None:
    """Half of a surrogate pair, which a client's URL may contain, is an unknown log, not a crash."""
    with pytest.raises(NoSuchLog):
        await here.describe("log-\ud800")
