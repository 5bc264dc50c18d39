"""Clause 7: everything expires, first the name, then the log, then its tombstone; and a log can be deleted."""

import pytest

from headwater.errors import Expired, Fenced, NoSuchLog
from headwater.testing.contract_harness import ALICE, BOB, LIMITS, TTL, WHOLE, Harness, bound, entries, entry, run

SOON = 2.0
"""Seconds within which a store must notice that something has expired."""


class Expiry:
    async def test_the_name_goes_first(self, harness: Harness) -> None:
        """A name is free when its TTL is over; the log can be read by its id for a while longer."""
        log = await harness.sealed("a", name="name")
        harness.clock.now += TTL - SOON
        assert await harness.peer.find("name", BOB) is not None
        harness.clock.now += 2 * SOON
        assert await harness.peer.find("name", BOB) is None
        assert len(await entries(harness.store, log)) == 2
        assert (await harness.store.claim("name", "next", BOB, ttl=TTL)).won

    async def test_then_the_log(self, harness: Harness) -> None:
        """A log past its grace is `Expired` for everyone, its writer included, and nothing of it comes back."""
        lease = await harness.opened("a", name="name")
        await harness.store.seal([entry(2, WHOLE)], lease)
        harness.clock.now += TTL + LIMITS.grace - SOON
        assert len(await entries(harness.peer, lease.log)) == 2
        harness.clock.now += 2 * SOON
        await self._is_gone(harness, lease.log)
        with pytest.raises(Expired):
            await harness.store.append(run("b", begin=3), lease)
        with pytest.raises(Expired):
            await harness.store.seal([entry(2, WHOLE)], lease)
        await self._is_gone(harness, lease.log)

    async def test_then_its_id(self, harness: Harness) -> None:
        """A tombstone keeps an expired log `Expired` for a day; then the log is unknown."""
        log = await harness.sealed("a")
        harness.clock.now += TTL + LIMITS.grace + SOON
        await self._is_gone(harness, log)
        harness.clock.now += LIMITS.tombstone - 2 * SOON
        await self._is_gone(harness, log)
        harness.clock.now += 2 * SOON
        with pytest.raises(NoSuchLog):
            await harness.peer.describe(log)

    async def test_a_live_log_does_not_expire(self, harness: Harness) -> None:
        """A log that is written for longer than its TTL stays: the TTL starts with the ending."""
        lease = await harness.opened("a", ttl=1.0)
        harness.clock.now += LIMITS.grace * 2
        await harness.store.append(run("b", begin=2), lease)
        await harness.store.seal([entry(3, WHOLE)], lease)
        assert len(await entries(harness.peer, lease.log)) == 3

    async def test_forgetting(self, harness: Harness) -> None:
        """A deleted log is `Expired` for every process at once, and its name is free."""
        log = await harness.sealed("a", name="name")
        await harness.store.forget(log)
        await self._is_gone(harness, log)
        assert await harness.peer.find("name", BOB) is None
        with pytest.raises(Expired):
            await harness.peer.forget(log)
        with pytest.raises(NoSuchLog):
            await harness.peer.forget(harness.new())

    async def test_forgetting_a_live_log(self, harness: Harness) -> None:
        """The writer of a deleted log is fenced off, and its name is free."""
        claim = await harness.store.claim("name", "log", ALICE, ttl=TTL)
        assert claim.lease is not None
        await harness.peer.forget("log")
        with pytest.raises((Fenced, Expired)):
            await harness.store.append(run("a"), claim.lease)
        with pytest.raises((Fenced, Expired)):
            await harness.store.seal([entry(1, WHOLE)], claim.lease)
        assert await harness.store.find("name", ALICE) is None

    async def test_forgetting_wakes_the_writer(self, harness: Harness) -> None:
        """A deletion reaches a silent writer within a second, because every further token is paid for in vain."""
        await harness.is_woken_by(lambda store, log: store.forget(log))

    async def test_forgetting_leaves_the_newer_log_its_name(self, harness: Harness) -> None:
        """Deleting a log that has lost its name does not free the name, which its successor has."""
        old = await harness.sealed("old", name="name")
        new = await harness.sealed("new", name="name")
        await harness.store.forget(old)
        assert await bound(harness.peer, "name") == new

    async def _is_gone(self, harness: Harness, log: str) -> None:
        for store in (harness.store, harness.peer):
            with pytest.raises(Expired):
                await entries(store, log)
            with pytest.raises(Expired):
                await store.describe(log)
            with pytest.raises(Expired):
                await store.stop(log, ALICE.subject)
