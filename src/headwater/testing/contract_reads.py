"""Clauses 5, 6 and 11: a read is a pull with a position, strange offsets are `Expired`, readers are noticed."""

import asyncio
from contextlib import aclosing

import pytest

from headwater.entries import Entry
from headwater.errors import Expired, NoSuchLog
from headwater.log.store import PAGE, Lease
from headwater.offsets import Offset
from headwater.testing.contract_harness import TEST_TIMEOUT, WHOLE, Harness, entries, entry, reading, run, until


class Reads:
    async def test_old_then_new(self, harness: Harness) -> None:
        """A reader that joins midway gets stored entries, then new ones, then the ending: no gap, no duplicate."""
        lease = await harness.opened("1", "2")
        readers = [await reading(store, lease.log) for store in (harness.store, harness.peer)]
        for begin in range(3, 60, 2):
            await harness.store.append(run(str(begin), str(begin + 1), begin=begin), lease)
            if begin % 10 == 1:
                readers.append(await reading(harness.peer, lease.log))
        await harness.store.seal([entry(61, WHOLE)], lease)
        for task, _ in readers:
            assert [each.offset.sequence for each in await task] == list(range(1, 62))

    async def test_delivery_while_it_is_written(self, harness: Harness) -> None:
        """A reader in another process gets each append soon after it was made, not only at the end."""
        lease = await harness.opened()
        task, got = await reading(harness.peer, lease.log)
        for sequence in range(1, 6):
            await harness.store.append(run("x", begin=sequence), lease)
            await until(lambda wanted=sequence: len(got) == wanted, within=1.0)
        await harness.store.seal([entry(6, WHOLE)], lease)
        assert len(await task) == 6

    async def test_every_offset(self, harness: Harness) -> None:
        """A read from any offset gives exactly the rest: after the ending nothing, and no error."""
        log = await harness.sealed("a", "b", "c")
        whole = await entries(harness.store, log)
        for n in range(5):
            assert await entries(harness.peer, log, Offset(1, n)) == whole[n:]
        assert await entries(harness.store, log, Offset(0, 7)) == whole

    async def test_a_long_log(self, harness: Harness) -> None:
        """A long log comes in pages of at most `PAGE` entries."""
        log = await harness.sealed(*["x"] * 1100)
        async with aclosing(harness.store.read(log)) as pages:
            sizes = [len(page) async for page in pages]
        assert sum(sizes) == 1101
        assert max(sizes) <= PAGE

    async def test_without_following(self, harness: Harness) -> None:
        """A reader that does not follow gets what is stored, and waits for nothing."""
        lease = await harness.opened("a")
        assert len(await entries(harness.peer, lease.log, follow=False)) == 1
        assert await entries(harness.peer, lease.log, Offset(1, 1), follow=False) == []
        assert await entries(harness.store, (await harness.opened()).log, follow=False) == []

    async def test_a_reader_who_does_not_wait_is_not_there(self, harness: Harness) -> None:
        """However long the log: what is stored is read, and the writer need not hurry for anybody."""
        lease = await harness.opened(*["x" * 30_000] * 12)
        assert len(await entries(harness.peer, lease.log, follow=False)) == 12
        receipt = await harness.store.append(run("b", begin=13), lease)
        assert not (receipt.readers and harness.store.flush.tells_readers)

    async def test_a_reader_who_leaves(self, harness: Harness) -> None:
        """A reader that leaves, or is slow, affects neither the writer nor the other readers."""
        lease = await harness.opened("a")
        leaver, got = await reading(harness.store, lease.log)
        await until(lambda: len(got) == 1)
        slow = harness.store.read(lease.log)
        async with aclosing(slow):
            assert len(await anext(slow)) == 1
            leaver.cancel()
            await asyncio.gather(leaver, return_exceptions=True)
            await harness.store.seal([*run("b", begin=2), entry(3, WHOLE)], lease)
            assert len(await entries(harness.store, lease.log)) == 3
            rest: list[Entry] = [each async for page in slow for each in page]
            assert [each.offset.sequence for each in rest] == [2, 3]

    async def test_an_unknown_log(self, harness: Harness) -> None:
        """An unknown log is an error, not an empty log, to whoever reads, describes, stops or writes it."""
        store, log = harness.store, harness.new()
        calls = (entries(store, log), store.describe(log), store.stop(log, "alice"), store.append(run("a"), Lease(log)))
        for call in calls:
            with pytest.raises(NoSuchLog):
                await call

    async def test_an_offset_of_another_life(self, harness: Harness) -> None:
        """An offset that this log cannot have handed out is `Expired`, never a silent partial answer."""
        log = await harness.sealed("a", "b")
        lease = await harness.opened("a")
        for strange, where in ((Offset(1, 4), log), (Offset(2, 1), log), (Offset(2, 1), lease.log)):
            with pytest.raises(Expired):
                await entries(harness.peer, where, strange)

    async def test_a_reader_ahead_of_the_store(self, harness: Harness) -> None:
        """A reader that was served from the writer's memory waits until the store catches up, and misses nothing."""
        lease = await harness.opened("a")
        task, _ = await reading(harness.peer, lease.log, Offset(1, 3))
        await harness.store.append(run("b", "c", "d", begin=2), lease)
        await harness.store.seal([entry(5, WHOLE)], lease)
        assert [each.offset.sequence for each in await task] == [4, 5]

    async def test_a_reader_at_an_offset_that_never_came(self, harness: Harness) -> None:
        """A reader that waited at an offset which the log never reached gets `Expired`, not a silent end."""
        lease = await harness.opened("a")
        task, _ = await reading(harness.peer, lease.log, Offset(1, 9))
        assert await entries(harness.store, lease.log, Offset(1, 9), follow=False) == []
        await harness.store.seal([entry(2, WHOLE)], lease)
        with pytest.raises(Expired):
            await task

    async def test_reading_what_is_deleted_meanwhile(self, harness: Harness) -> None:
        """A reader that waits for more of a log gets `Expired` at once when the log is deleted."""
        lease = await harness.opened("a")
        task, got = await reading(harness.peer, lease.log)
        await until(lambda: len(got) == 1)
        await harness.store.forget(lease.log)
        with pytest.raises(Expired):
            async with asyncio.timeout(TEST_TIMEOUT):
                await task

    async def test_an_empty_log_that_ends(self, harness: Harness) -> None:
        """A log may consist of its ending alone."""
        log = await harness.sealed()
        assert [each.offset for each in await entries(harness.peer, log)] == [Offset(1, 1)]

    async def test_a_reader_elsewhere_is_noticed(self, harness: Harness) -> None:
        """It wakes the writer when it begins to wait, and the receipts then say that it is there."""
        flush = harness.store.flush
        lease = await harness.opened("a")
        woken: list[None] = []
        cease = harness.store.listen(lease, lambda: woken.append(None))
        alone = await harness.store.append(run("b", begin=2), lease)
        task, got = await reading(harness.peer, lease.log)
        if flush.unread_interval > flush.interval:
            assert not alone.readers
            await until(lambda: len(woken) > 0)
        await until(lambda: len(got) == 2)
        assert (await harness.store.append(run("c", begin=3), lease)).readers
        await harness.store.seal([entry(4, WHOLE)], lease)
        assert len(await task) == 4
        cease()
