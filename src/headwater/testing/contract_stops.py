"""Clause 10: a stop ends the log when no other subject remains on it, and wakes the writer wherever it runs."""

import asyncio

from headwater.errors import Sealed
from headwater.events import Stop
from headwater.log.store import Lease
from headwater.principal import LEAVES
from headwater.testing.contract_harness import ALICE, BOB, TTL, WHOLE, Harness, entries, entry, reading, run, until


class Stops:
    async def test_the_only_subject(self, harness: Harness) -> None:
        """A stop by the only subject reaches the writer with the receipt of its next append."""
        lease = await harness.opened("a")
        assert (await harness.store.append([], lease)).stop is None
        assert await harness.peer.stop(lease.log, "alice")
        assert (await harness.store.append([], lease)).stop == "alice"
        assert (await harness.store.describe(lease.log)).state == "open"

    async def test_another_subject_remains(self, harness: Harness) -> None:
        """A stop detaches its subject while another remains; the last one's stop ends the log."""
        lease = await self._shared(harness)
        assert not await harness.store.stop("log", "alice")
        assert (await harness.store.append([], lease)).stop is None
        assert await harness.peer.stop("log", "bob")
        assert (await harness.store.append([], lease)).stop == "bob"

    async def test_a_repeated_stop(self, harness: Harness) -> None:
        """A stop by a subject that has left ends nothing for those who remain, and is not recorded later either."""
        lease = await self._shared(harness)
        for _ in range(3):
            assert not await harness.store.stop("log", "alice")
        assert await harness.store.stop("log", "bob")
        assert await harness.store.stop("log", "alice")
        assert (await harness.store.append([], lease)).stop == "bob"

    async def test_a_find_joins(self, harness: Harness) -> None:
        """A find of a live log joins it, as a claim does."""
        await harness.store.claim("name", "log", ALICE, ttl=TTL)
        assert await harness.peer.find("name", BOB) is not None
        assert not await harness.store.stop("log", "alice")

    async def test_a_subject_that_leaves_by_not_reading(self, harness: Harness) -> None:
        """A stop takes the subject off however it came to the log; an explicit stop need not know."""
        lease = await harness.store.open(harness.new(), ALICE._replace(subject="alice" + LEAVES), ttl=TTL)
        assert await harness.peer.stop(lease.log, "alice")
        assert (await harness.store.append([], lease)).stop == "alice"

    async def test_all_subjects_that_leave_by_not_reading(self, harness: Harness) -> None:
        """They leave together, and the log ends if nobody else is on it."""
        lease = await harness.store.open(harness.new(), ALICE._replace(subject="alice" + LEAVES), ttl=TTL, name="name")
        await harness.store.append(run("a"), lease)
        assert await harness.store.stop(lease.log, LEAVES)
        assert (await harness.store.append([], lease)).stop == LEAVES

    async def test_the_gentlest_subject_keeps_the_log(self, harness: Harness) -> None:
        """A log goes on for a subject that has not stopped it, when all those have left that cease to read."""
        await harness.store.claim("name", "log", ALICE._replace(subject="alice" + LEAVES), ttl=TTL)
        await harness.peer.claim("name", "bobs", BOB, ttl=TTL)
        await harness.store.claim("name", "carols", BOB._replace(subject="carol" + LEAVES), ttl=TTL)
        assert not await harness.peer.stop("log", LEAVES)
        assert not await harness.store.stop("log", LEAVES)
        assert await harness.store.stop("log", "bob")

    async def test_a_stranger(self, harness: Harness) -> None:
        """A stop by a subject that is not on the log does nothing while another subject is."""
        lease = await harness.opened("a")
        assert not await harness.store.stop(lease.log, "mallory")
        assert (await harness.store.append([], lease)).stop is None

    async def test_a_log_that_has_ended(self, harness: Harness) -> None:
        """A stop after the ending changes nothing, and returns that the log has ended."""
        log = await harness.sealed("a")
        assert await harness.store.stop(log, "alice")
        assert (await harness.peer.describe(log)).state == "finished"

    async def test_it_wakes_the_writer(self, harness: Harness) -> None:
        """A stop from this process or another reaches a silent writer within a second."""
        await harness.is_woken_by(lambda store, log: store.stop(log, "alice"))

    async def test_it_wakes_a_writer_that_listens_late(self, harness: Harness) -> None:
        """A stop requested before the writer began to listen reaches it too."""
        lease = await harness.opened()
        await harness.peer.stop(lease.log, "alice")
        task, got = await reading(harness.store, lease.log)
        await harness.peer.append(run("a"), lease)
        await until(lambda: len(got) == 1)  # so the store here has noticed everything that happened there
        woken = asyncio.Event()
        cease = harness.store.listen(lease, woken.set)
        await harness.learns_of_stop(lease, woken.is_set)
        await harness.store.seal([entry(2, Stop("alice"))], lease)
        await task
        cease()

    async def test_nobody_is_woken_for_another_log(self, harness: Harness) -> None:
        """A stop wakes the writer of its own log only, and no listener that has ceased."""
        lease, other, ceased = [await harness.opened() for _ in range(3)]
        woken: list[str] = []
        cease = [harness.store.listen(each, lambda log=each.log: woken.append(log)) for each in (lease, other, ceased)]
        cease.pop()()
        await harness.peer.stop(ceased.log, "alice")
        await harness.peer.stop(lease.log, "alice")
        await harness.learns_of_stop(lease, lambda: lease.log in woken)
        assert set(woken) <= {lease.log}
        for each in cease:
            each()

    async def test_a_stop_that_races_the_ending(self, harness: Harness) -> None:
        """When a stop races the model's own end, the log has one ending, whichever it is."""
        for _ in range(10):
            lease = await harness.opened("a")
            asked, *sealed = await asyncio.gather(
                harness.peer.stop(lease.log, "alice"),
                harness.store.seal([entry(2, WHOLE)], lease),
                harness.store.seal([entry(2, Stop("alice"))], lease),
                return_exceptions=True,
            )
            assert asked is True
            assert {type(each) for each in sealed} == {type(None), Sealed}
            assert len(await entries(harness.peer, lease.log)) == 2

    async def _shared(self, harness: Harness) -> Lease:
        claim = await harness.store.claim("name", "log", ALICE, ttl=TTL)
        assert claim.lease is not None
        await harness.peer.claim("name", "other", BOB, ttl=TTL)
        return claim.lease
