"""Clause 4: a dead writer strands nobody, and a live one never counts as dead."""

import asyncio
import time

import pytest

from headwater.errors import Expired, Fenced
from headwater.events import Error
from headwater.offsets import Offset
from headwater.testing.contract_harness import (
    ALICE,
    BOB,
    QUICK,
    TTL,
    WHOLE,
    Harness,
    entries,
    entry,
    lapses,
    reading,
    run,
    until,
)


class Leases:
    @lapses
    async def test_a_writer_that_falls_silent(self, harness: Harness) -> None:
        """When a writer dies, readers get what is stored, then `lost`, soon after the lease has lapsed."""
        lease = await harness.opened("a", "b")
        begin = time.monotonic()
        got = await entries(harness.peer, lease.log)
        assert [each.offset for each in got] == [(1, 1), (1, 2), (2, 3)]
        assert isinstance(got[-1].event, Error)
        assert (got[-1].event.code, got[-1].event.retryable) == ("lost", True)
        assert QUICK.lease * 0.9 <= time.monotonic() - begin <= QUICK.lease + 2
        found = await harness.store.describe(lease.log)
        assert (found.state, found.last) == ("lost", Offset(2, 3))

    @lapses
    async def test_a_writer_that_died_at_once(self, harness: Harness) -> None:
        """A log whose writer died before its first entry ends `lost` too."""
        lease = await harness.opened()
        assert [each.offset for each in await entries(harness.peer, lease.log)] == [(2, 1)]

    @lapses
    async def test_a_reader_who_had_seen_more(self, harness: Harness) -> None:
        """A reader that had seen more than was stored gets the `lost` entry, and nothing twice."""
        lease = await harness.opened("a", "b", "c")
        waiting, _ = await reading(harness.peer, lease.log, Offset(1, 8))
        assert [each.offset for each in await waiting] == [(2, 4)]
        for after, rest in (((1, 1), [(1, 2), (1, 3), (2, 4)]), ((1, 3), [(2, 4)]), ((1, 8), [(2, 4)]), ((2, 4), [])):
            assert [each.offset for each in await entries(harness.store, lease.log, Offset(*after))] == rest
        with pytest.raises(Expired):
            await entries(harness.store, lease.log, Offset(2, 5))

    @lapses
    async def test_many_who_notice(self, harness: Harness) -> None:
        """However many readers, in two processes, notice that a writer died, the log has one ending."""
        lease = await harness.opened("a")
        readers = [(await reading(store, lease.log))[0] for store in (harness.store, harness.peer) for _ in range(10)]
        found = await asyncio.gather(*readers)
        assert all(each == found[0] for each in found)
        assert len(found[0]) == 2

    @lapses
    async def test_a_zombie(self, harness: Harness) -> None:
        """A writer that comes back after its log was sealed `lost` is fenced off, whatever it sends."""
        lease = await harness.lost("a")
        for late in (run("b", begin=2), run("a"), []):
            with pytest.raises(Fenced):
                await harness.store.append(late, lease)
        with pytest.raises(Fenced):
            await harness.peer.seal([entry(2, WHOLE)], lease)
        assert len(await entries(harness.peer, lease.log)) == 2

    @lapses
    async def test_heartbeats(self, harness: Harness) -> None:
        """Empty appends keep a silent log open beyond its lease."""
        lease = await harness.opened("a")
        task, _ = await reading(harness.peer, lease.log)
        end = time.monotonic() + 2 * QUICK.lease
        while time.monotonic() < end:
            await harness.store.append([], lease)
            await asyncio.sleep(QUICK.heartbeat)
        await harness.store.seal([entry(2, WHOLE)], lease)
        assert [each.offset for each in await task] == [(1, 1), (1, 2)]

    @pytest.mark.parametrize("hours", [1, -1])
    async def test_a_clock_that_jumps(self, harness: Harness, hours: int) -> None:
        """A wall clock that jumps seals no live log, and makes no age negative."""
        log = await harness.sealed(name="name", ttl=2 * 3600)
        lease = await harness.opened("a")
        task, got = await reading(harness.peer, lease.log)
        await until(lambda: len(got) == 1)
        harness.clock.now += hours * 3600
        claim = await harness.peer.find("name", BOB)
        assert claim is not None
        assert (claim.log, claim.age >= 0) == (log, True)
        await harness.store.append(run("b", begin=2), lease)
        await harness.store.seal([entry(3, WHOLE)], lease)
        assert [each.offset for each in await task] == [(1, 1), (1, 2), (1, 3)]

    @lapses
    async def test_a_lapsed_log_met_by_a_claim(self, harness: Harness) -> None:
        """After a writer died, a claim of the same name wins as soon as the lease has lapsed."""
        await harness.store.claim("name", "orphan", ALICE, ttl=TTL)
        begin = time.monotonic()

        async def won() -> bool:
            return (await harness.peer.claim("name", "heir", BOB, ttl=TTL)).won

        await until(won, QUICK.lease + 2)
        assert time.monotonic() - begin >= QUICK.lease * 0.9
        assert (await harness.store.describe("orphan")).state == "lost"
        assert (await harness.store.describe("heir")).state == "open"

    @lapses
    async def test_a_lost_log_frees_its_name(self, harness: Harness) -> None:
        """A lost log answers no new request: its name is free."""
        lease = await harness.lost("a", name="name")
        assert await harness.store.find("name", BOB) is None
        assert (await harness.peer.describe(lease.log)).state == "lost"

    @lapses
    async def test_stop_against_a_lapsing_lease(self, harness: Harness) -> None:
        """A log whose writer is dead ends `lost` also after a stop, because no writer is left to stop."""
        lease = await harness.opened("a")
        assert await harness.peer.stop(lease.log, ALICE.subject)
        assert (await entries(harness.peer, lease.log))[-1].offset == Offset(2, 2)
