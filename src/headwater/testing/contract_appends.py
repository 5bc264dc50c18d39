"""Clauses 1, 2, 3, 8 and 9: dense sequences, one writer, one ending, bounded logs, and a check that changes nothing."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.errors import Expired, Fenced, LogFull, NoSuchLog, OutOfSequence, Sealed, StoreError
from headwater.events import Error, Finish, Metadata, Stop, TextDelta
from headwater.log.store import Lease
from headwater.offsets import Offset
from headwater.testing.contract_harness import ALICE, LIMITS, TTL, WHOLE, Harness, entries, entry, run, seen, texts

EVENTS = st.one_of(
    st.builds(TextDelta, st.text(max_size=20)),
    st.builds(Metadata, st.dictionaries(st.text(max_size=5), st.integers(-9, 9) | st.text(max_size=5), max_size=3)),
)


# The examples share one store, each with its own log. They are as slow as the store, and run for several stores.
FINE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.differing_executors]


class Appends:
    async def test_what_was_appended_is_read_back(self, harness: Harness) -> None:
        """Entries are read back as they were appended, bytes and times included."""
        lease = await harness.opened()
        written = [*run("a", "\U0001f600 ü\n"), entry(3, WHOLE)]
        await harness.store.append(written[:2], lease)
        await harness.store.seal(written[2:], lease)
        assert await entries(harness.peer, lease.log) == written

    async def test_another_entry_in_a_taken_place(self, harness: Harness) -> None:
        """Entries sent again are compared with the stored ones, so that two writers cannot mix their answers."""
        lease = await harness.opened("a", "b")
        with pytest.raises(OutOfSequence):
            await harness.store.append(run("a", "x"), lease)
        assert await entries(harness.peer, lease.log, follow=False) == run("a", "b")

    async def test_a_retried_append(self, harness: Harness) -> None:
        """An append retried after a lost reply stores nothing twice."""
        lease = await harness.opened("a", "b")
        await harness.store.append(run("a", "b"), lease)
        await harness.store.append(run("b", "c", begin=2), lease)
        assert await texts(harness.store, lease.log) == ["a", "b", "c"]

    async def test_a_gap(self, harness: Harness) -> None:
        """An append that would leave a gap is refused as a whole."""
        lease = await harness.opened("a")
        for gap in (run("c", begin=3), [*run("b", begin=2), *run("d", begin=4)]):
            with pytest.raises(OutOfSequence):
                await harness.store.append(gap, lease)
        assert await texts(harness.store, lease.log) == ["a"]

    async def test_an_ending_in_an_occupied_place(self, harness: Harness) -> None:
        """An ending can neither take the place of an entry nor leave a gap before itself."""
        lease = await harness.opened("a", "b")
        for sequence in (2, 4):
            with pytest.raises(OutOfSequence):
                await harness.store.seal([entry(sequence, WHOLE)], lease)
        assert (await harness.store.describe(lease.log)).state == "open"

    async def test_one_refusal_among_many_appends(self, harness: Harness) -> None:
        """Of appends to many logs at once, a refused one undoes no other."""
        leases = [await harness.opened() for _ in range(20)]
        answers = await asyncio.gather(
            *(harness.store.append(run("x", begin=1 + i % 2), lease) for i, lease in enumerate(leases)),
            return_exceptions=True,
        )
        assert [isinstance(answer, OutOfSequence) for answer in answers] == [False, True] * 10
        assert [await texts(harness.store, lease.log) for lease in leases] == [["x"], []] * 10

    async def test_an_older_epoch(self, harness: Harness) -> None:
        """An append whose lease is of another epoch than the log is `Fenced`."""
        lease = await harness.opened("a")
        with pytest.raises(Fenced):
            await harness.store.append(run("b", begin=2), Lease(lease.log, lease.epoch + 1))

    async def test_a_retried_open(self, harness: Harness) -> None:
        """An open retried after a lost reply finds its log as it was."""
        lease = await harness.opened("a")
        assert await harness.store.open(lease.log, ALICE, ttl=TTL) == lease
        assert await texts(harness.store, lease.log) == ["a"]

    async def test_a_retired_id(self, harness: Harness) -> None:
        """The id of a log that has ended or was deleted cannot be opened again."""
        log = await harness.sealed("a")
        with pytest.raises(Sealed):
            await harness.store.open(log, ALICE, ttl=TTL)
        await harness.store.forget(log)
        with pytest.raises(Expired):
            await harness.store.open(log, ALICE, ttl=TTL)

    async def test_a_retried_seal(self, harness: Harness) -> None:
        """A seal retried after a lost reply is acknowledged again, and ends the log once."""
        lease = await harness.opened("a")
        for _ in range(2):
            await harness.store.seal([*run("b", begin=2), entry(3, WHOLE)], lease)
        assert [each.offset.sequence for each in await entries(harness.store, lease.log)] == [1, 2, 3]

    async def test_nothing_follows_the_ending(self, harness: Harness) -> None:
        """After the ending, entries, heartbeats and further endings are refused."""
        lease = await harness.opened("a")
        await harness.store.seal([entry(2, WHOLE)], lease)
        for late in (run("b", begin=3), []):
            with pytest.raises(Sealed):
                await harness.store.append(late, lease)
        for other in (entry(2, Stop("bob")), entry(3, WHOLE)):
            with pytest.raises(Sealed):
                await harness.store.seal([other], lease)
        assert seen(await entries(harness.peer, lease.log))[-1] == (Offset(1, 2), WHOLE)

    @pytest.mark.parametrize(
        ("ending", "state"),
        [(WHOLE, "finished"), (Finish("length"), "finished"), (Stop("alice"), "stopped"), (Error("x", "y"), "failed")],
    )
    async def test_states(self, harness: Harness, ending: Finish | Stop | Error, state: str) -> None:
        """The ending decides the state; a description shows it, with the tenant and the last offset."""
        log = await harness.sealed("a", ending=ending)
        found = await harness.peer.describe(log)
        assert (found.state, found.tenant, found.last) == (state, ALICE.tenant, Offset(1, 2))

    async def test_one_of_many_endings(self, harness: Harness) -> None:
        """Of many endings at once, through two processes, one stands, and every reader gets that one."""
        lease = await harness.opened("a")
        answers = await asyncio.gather(
            *(harness.store.seal([entry(2, Stop(f"s{i}"))], lease) for i in range(10)),
            *(harness.peer.seal([entry(2, Finish("stop", None))], lease) for _ in range(2)),
            return_exceptions=True,
        )
        assert {type(answer) for answer in answers} == {type(None), Sealed}
        first = seen(await entries(harness.store, lease.log))
        assert len(first) == 2
        assert seen(await entries(harness.peer, lease.log)) == first

    async def test_a_log_of_too_many_entries(self, harness: Harness) -> None:
        """A full log refuses an append that does not fit, as a whole, and takes its ending."""
        lease = await harness.opened(*["x"] * (LIMITS.entries - 1))
        with pytest.raises(LogFull):
            await harness.store.append(run("y", "z", begin=LIMITS.entries), lease)
        await harness.store.append(run("y", begin=LIMITS.entries), lease)
        await harness.store.append([], lease)
        await harness.store.seal([entry(LIMITS.entries + 1, Error("log_limit", "full"))], lease)
        assert (await harness.store.describe(lease.log)).last == Offset(1, LIMITS.entries + 1)

    async def test_a_log_of_too_many_bytes(self, harness: Harness) -> None:
        """A log at its bound of bytes refuses more, and takes its ending."""
        half = "x" * (LIMITS.bytes // 2)
        lease = await harness.opened(half)
        with pytest.raises(LogFull):
            await harness.store.append(run(half, begin=2), lease)
        await harness.store.seal([entry(2, Error("log_limit", "full"))], lease)
        assert (await harness.store.describe(lease.log)).state == "failed"

    async def test_a_closed_store(self, harness: Harness) -> None:
        """A closed store raises an error and leaves no caller waiting; it may be closed again."""
        lease = await harness.opened("a")
        await harness.store.aclose()
        await harness.store.aclose()
        with pytest.raises((StoreError, NoSuchLog)):
            await harness.store.append(run("b", begin=2), lease)

    async def test_a_store_that_works(self, harness: Harness) -> None:
        """A store that works passes its check, before the first log and beside open ones, which it leaves alone."""
        await harness.peer.check()
        lease = await harness.opened("a")
        await harness.store.check()
        await harness.peer.check()
        assert await texts(harness.peer, lease.log) == ["a"]
        assert (await harness.store.claim("name", "log", ALICE, ttl=TTL)).won

    async def test_a_check_of_a_closed_store(self, harness: Harness) -> None:
        """A store that was closed fails its check, so that no server calls itself ready with it."""
        await harness.store.check()
        await harness.store.aclose()
        with pytest.raises(StoreError, match="closed"):
            await harness.store.check()

    @settings(max_examples=25, deadline=None, suppress_health_check=FINE)
    @given(data=st.data())
    async def test_any_split_of_any_entries(self, harness: Harness, data: st.DataObject) -> None:
        """However a writer splits its entries into appends, and whichever of them it retries, the log is the same."""
        events = data.draw(st.lists(EVENTS, max_size=12))
        written = [*(entry(i, event) for i, event in enumerate(events, 1)), entry(len(events) + 1, WHOLE)]
        lease = await harness.opened()
        done = 0
        while done < len(events):
            end = data.draw(st.integers(done + 1, len(events)))
            begin = data.draw(st.integers(0, done))  # the first entry that the writer sends again
            for _ in range(data.draw(st.integers(1, 2))):
                await harness.store.append(written[begin:end], lease)
            done = end
        await harness.store.seal(written[data.draw(st.integers(0, done)) :], lease)
        assert await entries(harness.peer, lease.log) == written
        for after in written:
            rest = await entries(harness.store, lease.log, after.offset)
            assert rest == written[after.offset.sequence :]
