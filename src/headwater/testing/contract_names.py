"""Names: claims, finds, and what an ending does to the binding of a name; and constants."""

import asyncio

import pytest

from headwater.events import Ending, Error, Finish, Stop
from headwater.log.store import Terms
from headwater.testing.contract_harness import ALICE, BOB, LIMITS, TTL, WHOLE, Harness, bound, entry, run

INADMISSIBLE = [Finish("length"), Finish("content_filter"), Stop("alice"), Error("model", "broke")]


class Names:
    async def test_the_first_claim(self, harness: Harness) -> None:
        """The first claim of a name wins the right to write; the next one gets the log to read."""
        first = await harness.store.claim("name", "log", ALICE, ttl=TTL)
        assert (first.log, first.won, first.state) == ("log", True, "open")
        assert first.lease is not None
        second = await harness.peer.claim("name", "other", BOB, ttl=TTL)
        assert (second.log, second.won, second.state, second.lease) == ("log", False, "open", None)
        await harness.store.append(run("a"), first.lease)

    async def test_many_claims_at_once(self, harness: Harness) -> None:
        """Of fifty claims at once, through two processes, one wins, and all get the same log."""
        stores = [harness.store, harness.peer] * 25
        calls = (store.claim("name", f"log-{i}", ALICE, ttl=TTL) for i, store in enumerate(stores))
        claims = await asyncio.gather(*calls)
        assert sum(claim.won for claim in claims) == 1
        assert len({claim.log for claim in claims}) == 1

    async def test_a_retried_claim(self, harness: Harness) -> None:
        """A claim retried after a lost reply wins again; otherwise no process would write the log."""
        for _ in range(2):
            claim = await harness.store.claim("name", "log", ALICE, ttl=TTL)
            assert claim.won
            assert claim.lease is not None

    @pytest.mark.parametrize(("ending", "log"), [(WHOLE, "log"), (Stop("alice"), None)])
    async def test_a_second_name(self, harness: Harness, ending: Ending, log: str | None) -> None:
        """A claim may give a second name: both names find the log once it is whole, and neither finds a part."""
        claim = await harness.store.claim("mine", "log", ALICE, ttl=TTL, terms=Terms(binds="name"))
        assert claim.lease is not None
        assert await harness.peer.find("name", BOB) is None
        await harness.store.seal([entry(1, ending)], claim.lease)
        assert [await bound(harness.peer, name) for name in ("mine", "name")] == [log, log]

    async def test_several_names_as_one(self, harness: Harness) -> None:
        """A claim tries several names in their order. A new log has them all, while it is open and when it is whole."""
        claim = await harness.store.claim("name\nname-like", "log", ALICE, ttl=TTL)
        assert claim.lease is not None
        for sealed in (False, True):
            for name, place in (("name", 0), ("name-like", 0), ("name-own\nname-like", 1), ("name\nname-like", 0)):
                found = await harness.peer.claim(name, "other", BOB, ttl=TTL)
                assert (found.log, found.won, found.place) == ("log", False, place)
            if not sealed:
                await harness.store.seal([entry(1, WHOLE)], claim.lease)

    async def test_the_first_of_several_names(self, harness: Harness) -> None:
        """The log of the first name wins over that of the second, which is found again once the first will not do."""
        like, own = await harness.sealed("a", name="name-like"), await harness.sealed("b", name="name-own")
        assert await bound(harness.peer, "name-own\nname-like") == own
        await harness.store.forget(own)
        assert await bound(harness.peer, "name-own\nname-like") == like
        live = await harness.store.claim("name-own", "log", ALICE, ttl=TTL)
        assert await bound(harness.peer, "name-own\nname-like") == live.log

    async def test_several_names_that_will_not_do(self, harness: Harness) -> None:
        """A claim that finds all its names too old takes them all."""
        await harness.sealed("a", name="name\nname-like")
        harness.clock.now += 10
        terms = Terms(newer_than=9)
        assert (await harness.peer.claim("name-own\nname-like", "new", BOB, ttl=TTL, terms=terms)).won
        assert [await bound(harness.store, name) for name in ("name-own", "name-like")] == ["new", "new"]

    @pytest.mark.parametrize("ending", [*INADMISSIBLE, None])
    async def test_several_names_are_freed(self, harness: Harness, ending: Ending | None) -> None:
        """A log that ends badly, or is deleted, frees each of its names."""
        claim = await harness.store.claim("name\nname-like", "log", ALICE, ttl=TTL)
        assert claim.lease is not None
        await harness.store.seal([entry(1, ending or WHOLE)], claim.lease)
        if ending is None:
            await harness.store.forget("log")
        assert [await bound(harness.peer, name) for name in ("name", "name-like")] == [None, None]

    async def test_several_names_by_an_ending(self, harness: Harness) -> None:
        """A log opened without a claim gets several names with a whole answer, and they expire with it."""
        log = await harness.sealed("a", name="name\nname-like")
        assert [await bound(harness.peer, name) for name in ("name", "name-like")] == [log, log]
        harness.clock.now += TTL + 1
        assert [await bound(harness.peer, name) for name in ("name", "name-like")] == [None, None]

    async def test_a_log_that_was_asked_to_end(self, harness: Harness) -> None:
        """No new request joins a log that was asked to stop, because it would get an incomplete answer."""
        await harness.store.claim("name", "log", ALICE, ttl=TTL)
        assert await harness.peer.stop("log", ALICE.subject)
        again = await harness.peer.claim("name", "again", ALICE, ttl=TTL)
        assert (again.log, again.won) == ("again", True)

    async def test_a_log_that_was_asked_to_end_and_is_whole_all_the_same(self, harness: Harness) -> None:
        """Its writer was done before it heard of the stop: the log is found by its name, before that of a live one."""
        claim = await harness.store.claim("name-own", "log", ALICE, ttl=TTL)
        assert claim.lease is not None
        await harness.peer.stop("log", ALICE.subject)
        await harness.store.seal([entry(1, WHOLE)], claim.lease)
        await harness.store.claim("name-like", "live", ALICE, ttl=TTL)
        found = await harness.peer.find("name-own\nname-like", BOB)
        assert found is not None
        assert (found.log, found.state, found.place) == ("log", "finished", 0)

    async def test_a_whole_answer(self, harness: Harness) -> None:
        """A name finds its log that ended with a whole answer, with its age and remaining TTL."""
        claim = await harness.store.claim("name", "log", ALICE, ttl=TTL)
        assert claim.lease is not None
        await harness.store.seal([entry(1, WHOLE)], claim.lease)
        harness.clock.now += 10
        again = await harness.peer.claim("name", "other", BOB, ttl=TTL)
        assert (again.log, again.won, again.state) == ("log", False, "finished")
        assert (round(again.age), round(again.ttl)) == (10, 50)

    @pytest.mark.parametrize("ending", INADMISSIBLE)
    async def test_a_partial_answer(self, harness: Harness, ending: Ending) -> None:
        """A truncated, stopped or failed answer is never replayed: its name is free at once."""
        claim = await harness.store.claim("name", "log", ALICE, ttl=TTL)
        assert claim.lease is not None
        await harness.store.seal([entry(1, ending)], claim.lease)
        assert await harness.peer.find("name", BOB) is None
        assert (await harness.peer.claim("name", "other", BOB, ttl=TTL)).won

    async def test_newer_than(self, harness: Harness) -> None:
        """A claim with `newer_than` gets a new log when the old one is too old, and the name with it."""
        log = await harness.sealed("a", name="name")
        harness.clock.now += 10
        found = await harness.store.find("name", BOB, terms=Terms(newer_than=11))
        assert found is not None
        assert found.log == log
        assert await harness.store.find("name", BOB, terms=Terms(newer_than=9)) is None
        assert (await harness.peer.claim("name", "new", BOB, ttl=TTL, terms=Terms(newer_than=9))).won
        assert await bound(harness.store, "name") == "new"

    async def test_a_stale_answer(self, harness: Harness) -> None:
        """A log past its TTL is found by those whose terms allow its age, as long as it can be read, and by no others.

        It keeps its name while a newer log is written for the same name, and after that one has failed.
        """
        log = await harness.sealed("a", name="name")
        harness.clock.now += TTL + 10
        assert await harness.store.find("name", BOB, terms=Terms(stale=5)) is None
        for found in (
            await harness.peer.find("name", BOB, terms=Terms(stale=15)),
            await harness.peer.claim("name", "other", BOB, ttl=TTL, terms=Terms(stale=15)),
        ):
            assert found is not None
            assert (found.log, found.won, round(found.age), round(found.ttl)) == (log, False, TTL + 10, -10)
        await harness.sealed("b", name="name", ending=Error("model", "broke"))
        assert await harness.peer.find("name", BOB, terms=Terms(stale=15)) is not None
        harness.clock.now += LIMITS.grace - 12
        assert await harness.store.find("name", BOB, terms=Terms(stale=10**6)) is not None
        harness.clock.now += 4
        assert await harness.peer.find("name", BOB, terms=Terms(stale=10**6)) is None
        assert (await harness.store.claim("name", "new", BOB, ttl=TTL, terms=Terms(stale=10**6))).won

    async def test_a_replaced_log_can_still_be_read(self, harness: Harness) -> None:
        """A log that lost its name to a newer one can still be read by its id."""
        log = await harness.sealed("a", name="name")
        harness.clock.now += 10
        await harness.store.claim("name", "new", BOB, ttl=TTL, terms=Terms(newer_than=5))
        assert (await harness.peer.describe(log)).state == "finished"

    async def test_find_opens_nothing(self, harness: Harness) -> None:
        """A find of an unbound name binds it to nothing."""
        assert await harness.store.find("name", ALICE) is None
        assert (await harness.peer.claim("name", "log", BOB, ttl=TTL)).won

    async def test_a_log_that_nobody_can_join(self, harness: Harness) -> None:
        """A log opened without a claim is found by no request while it is open."""
        await harness.opened("a", name="name")
        assert await harness.peer.find("name", BOB) is None

    async def test_it_gets_its_name_with_a_whole_answer(self, harness: Harness) -> None:
        """A log opened without a claim becomes the cache entry when it ends well, in place of an older one."""
        await harness.sealed("old", name="name")
        log = await harness.sealed("new", name="name")
        assert await bound(harness.peer, "name") == log

    @pytest.mark.parametrize("ending", INADMISSIBLE)
    async def test_it_leaves_the_name_alone_otherwise(self, harness: Harness, ending: Ending) -> None:
        """A log opened without a claim that ends badly leaves the older cache entry in place."""
        old = await harness.sealed("old", name="name")
        await harness.sealed("new", name="name", ending=ending)
        assert await bound(harness.peer, "name") == old

    async def test_no_name_at_all(self, harness: Harness) -> None:
        """A log without a name is found by no name, however well it ends."""
        log = await harness.sealed("a")
        assert await harness.peer.find(log, BOB) is None

    async def test_constants(self, harness: Harness) -> None:
        """A constant keeps its first value, for every process, also when many give one at once."""
        stores = [harness.store, harness.peer] * 10
        answers = await asyncio.gather(*(store.constant("secret", bytes([i])) for i, store in enumerate(stores)))
        assert len(set(answers)) == 1
        assert await harness.peer.constant("secret", b"late") == answers[0]
        assert await harness.peer.constant("other", b"\x00\xff") == b"\x00\xff"
