"""Clause 13: a log whose writer is gone goes on under one successor, if it has a recovery."""

import asyncio

import pytest

from headwater.errors import Fenced, HeadwaterError
from headwater.events import Continued, Error, Stop, TextDelta
from headwater.log.store import Abandoned, Lease, Terms
from headwater.offsets import Offset
from headwater.testing.contract_harness import (
    ALICE,
    BOB,
    TTL,
    WHOLE,
    Harness,
    abandons,
    entries,
    entry,
    lapses,
    reading,
    run,
    texts,
    until,
)

RECOVERY = b'{"prompt": "\xc3\xa9"}\0\xff'
SEAM = Continued("server", "prefill", "1-2", rewind="1-2")


class Takeovers:
    @lapses
    async def test_an_abandoned_log(self, harness: Harness) -> None:
        """A log with a recovery stays open when its writer dies; its successor goes on in the same log."""
        lease = await abandoned_log(harness)
        task, got = await reading(harness.peer, lease.log)
        found = await abandonment(harness, lease.log)
        assert (found.epoch, found.last, found.recovery, found.stop) == (1, 2, RECOVERY, None)
        assert 0 <= found.age < 60
        heir = await harness.peer.take_over([entry(3, SEAM, 2)], lease.log)
        assert heir == Lease(lease.log, 2)
        assert await harness.store.abandoned(lease.log) is None
        await harness.peer.append([entry(4, TextDelta("c"), 2)], heir)
        await harness.peer.seal([entry(5, WHOLE, 2)], heir)
        assert [each.offset for each in await task] == [(1, 1), (1, 2), (2, 3), (2, 4), (2, 5)]
        assert got[2].event == SEAM
        assert (await harness.store.describe(lease.log)).last == Offset(2, 5)
        assert (await harness.store.find("name", BOB) or lease).log == lease.log

    @lapses
    async def test_one_successor(self, harness: Harness) -> None:
        """However many want to take over a log, in two processes, one does; the others are fenced off."""
        lease = await abandoned_log(harness)
        await abandonment(harness, lease.log)
        stores = [harness.store, harness.peer] * 4
        takeovers = (store.take_over([entry(3, SEAM, 2)], lease.log) for store in stores)
        found = await asyncio.gather(*takeovers, return_exceptions=True)
        assert sum(each == Lease(lease.log, 2) for each in found) == 1
        assert sum(isinstance(each, Fenced) for each in found) == len(stores) - 1
        assert [each.offset for each in await entries(harness.peer, lease.log, follow=False)][-1] == (2, 3)

    @lapses
    async def test_a_writer_that_comes_back(self, harness: Harness) -> None:
        """A writer that was only slow goes on, and then nobody takes over; after a takeover it is fenced off."""
        lease = await abandoned_log(harness)
        await abandonment(harness, lease.log)
        await harness.store.append(run("c", begin=3), lease)
        assert await harness.peer.abandoned(lease.log) is None
        with pytest.raises(HeadwaterError):
            await harness.peer.take_over([entry(3, SEAM, 2)], lease.log)
        found = await abandonment(harness, lease.log)
        assert found.last == 3
        await harness.peer.take_over([entry(4, SEAM, 2)], lease.log)
        for late in (run("d", begin=4), []):
            with pytest.raises(Fenced):
                await harness.store.append(late, lease)
        with pytest.raises(Fenced):
            await harness.store.seal([entry(4, WHOLE)], lease)

    @lapses
    async def test_a_second_death(self, harness: Harness) -> None:
        """A successor that dies is succeeded too; each epoch is served exactly to whoever had seen part of it."""
        lease = await abandoned_log(harness)
        await abandonment(harness, lease.log)
        heir = await harness.store.take_over([entry(3, SEAM, 2), entry(4, TextDelta("c"), 2)], lease.log)
        assert (await abandonment(harness, lease.log)).epoch == 2
        third = await harness.peer.take_over([entry(5, SEAM, 3)], lease.log)
        with pytest.raises(Fenced):
            await harness.store.append([entry(5, TextDelta("d"), 2)], heir)
        await harness.peer.seal([entry(6, WHOLE, 3)], third)
        whole = [(1, 1), (1, 2), (2, 3), (2, 4), (3, 5), (3, 6)]
        assert [each.offset for each in await entries(harness.store, lease.log)] == whole
        # Beyond what an epoch stored, the next one follows: nothing is skipped.
        seen_at = {(1, 1): 1, (1, 2): 2, (1, 3): 2, (1, 900): 2, (2, 3): 3, (2, 4): 4, (2, 77): 4}
        for after, seen in seen_at.items():
            rest = await entries(harness.store, lease.log, Offset(*after))
            assert [each.offset for each in rest] == whole[seen:]

    @lapses
    async def test_a_reader_who_waits_beyond_what_was_stored(self, harness: Harness) -> None:
        """A reader that had seen more than was stored gets the seam next, live as well."""
        lease = await abandoned_log(harness)
        task, got = await reading(harness.peer, lease.log, Offset(1, 9))
        await abandonment(harness, lease.log)
        heir = await harness.store.take_over([entry(3, SEAM, 2)], lease.log)
        await until(lambda: len(got) == 1)
        await harness.store.seal([entry(4, WHOLE, 2)], heir)
        assert [each.offset for each in await task] == [(2, 3), (2, 4)]

    @abandons
    async def test_a_log_that_nobody_takes_over(self, harness: Harness) -> None:
        """A log that nobody takes over ends `lost`, one epoch up, as a log without a recovery does."""
        lease = await abandoned_log(harness)
        got = await entries(harness.peer, lease.log)
        assert [each.offset for each in got] == [(1, 1), (1, 2), (2, 3)]
        assert isinstance(got[-1].event, Error)
        assert got[-1].event.code == "lost"
        assert await harness.store.find("name", BOB) is None
        assert await harness.store.abandoned(lease.log) is None

    @lapses
    async def test_a_log_without_a_recovery(self, harness: Harness) -> None:
        """A log without a recovery is never abandoned: it ends `lost` as soon as its lease has lapsed."""
        lease = await harness.lost("a")
        assert await harness.store.abandoned(lease.log) is None
        with pytest.raises(HeadwaterError):
            await harness.store.take_over([entry(3, SEAM, 3)], lease.log)

    async def test_a_live_log(self, harness: Harness) -> None:
        """A live log is not abandoned, and cannot be taken over."""
        lease = await abandoned_log(harness)
        assert await harness.peer.abandoned(lease.log) is None
        with pytest.raises(Fenced):
            await harness.peer.take_over([entry(3, SEAM, 2)], lease.log)
        await harness.store.append(run("c", begin=3), lease)

    async def test_a_lease_that_is_released(self, harness: Harness) -> None:
        """A writer that gives up its lease is succeeded at once, without a wait for the lease."""
        lease = await abandoned_log(harness)
        task, _ = await reading(harness.peer, lease.log)
        await harness.store.release(lease)
        assert await harness.peer.abandoned(lease.log) is not None
        heir = await harness.peer.take_over([entry(3, SEAM, 2)], lease.log)
        with pytest.raises(Fenced):
            await harness.store.release(lease)
        await harness.peer.seal([entry(4, WHOLE, 2)], heir)
        assert [each.offset for each in await task] == [(1, 1), (1, 2), (2, 3), (2, 4)]

    async def test_an_empty_log_and_an_ending(self, harness: Harness) -> None:
        """A successor may close the log in the same step, also one in which nothing was stored."""
        lease = await harness.store.open(harness.new(), ALICE, ttl=TTL, recovery=RECOVERY)
        await harness.store.release(lease)
        found = await abandonment(harness, lease.log)
        assert (found.epoch, found.last) == (1, 0)
        await harness.peer.take_over([entry(1, Stop("bob"), 2)], lease.log)
        assert (await harness.store.describe(lease.log)).state == "stopped"
        assert [each.offset for each in await entries(harness.store, lease.log)] == [(2, 1)]

    async def test_a_stop_between(self, harness: Harness) -> None:
        """A stop that comes while nobody writes is told to the successor."""
        lease = await abandoned_log(harness)
        await harness.store.release(lease)
        assert await harness.peer.stop(lease.log, ALICE.subject)
        assert (await abandonment(harness, lease.log)).stop == ALICE.subject
        assert await harness.peer.find("name", BOB) is None

    async def test_a_claim_between(self, harness: Harness) -> None:
        """A claim that meets an abandoned log joins it, since it will go on."""
        lease = await abandoned_log(harness)
        await harness.store.release(lease)
        claim = await harness.peer.claim("name", harness.new(), BOB, ttl=TTL)
        assert (claim.won, claim.log) == (False, lease.log)

    async def test_a_log_forgotten_between(self, harness: Harness) -> None:
        """A log that is deleted while nobody writes is gone, with its recovery."""
        lease = await abandoned_log(harness)
        await harness.store.release(lease)
        await harness.peer.forget(lease.log)
        for call in (harness.store.abandoned(lease.log), harness.store.take_over([entry(3, SEAM, 2)], lease.log)):
            with pytest.raises(HeadwaterError):
                await call

    async def test_who_notices(self, harness: Harness) -> None:
        """Whoever reads, claims or describes an abandoned log in a process tells that process of it."""
        told: list[str] = []
        harness.peer.watch_abandoned(told.append)
        lease = await abandoned_log(harness)
        await harness.store.release(lease)
        await harness.peer.describe(lease.log)
        await until(lambda: lease.log in told)
        task, _ = await reading(harness.peer, lease.log)
        told.clear()
        await until(lambda: lease.log in told)
        await harness.peer.take_over([entry(3, WHOLE, 2)], lease.log)
        await task


async def abandoned_log(harness: Harness) -> Lease:
    """A live log of two entries with a recovery, bound to `name`; its lease lapses when nobody renews it."""
    claim = await harness.store.claim("name", harness.new(), ALICE, ttl=TTL, terms=Terms(recovery=RECOVERY))
    assert claim.lease is not None
    await harness.store.append(run("a", "b"), claim.lease)
    assert await texts(harness.peer, claim.log) == ["a", "b"]
    return claim.lease


async def abandonment(harness: Harness, log: str) -> Abandoned:
    """What a successor learns, once both processes have noticed that the log's lease has lapsed."""
    found: list[Abandoned] = []

    async def lapsed() -> bool:
        found[:] = [each for store in (harness.store, harness.peer) if (each := await store.abandoned(log)) is not None]
        return len(found) == 2

    await until(lapsed)
    return found[0]
