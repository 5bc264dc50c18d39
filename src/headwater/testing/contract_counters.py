"""Clause 14: counters and slots, which all processes share, and which change in one step."""

import asyncio

from headwater.log.counters import SLOTS, Count, Slots, Taken
from headwater.testing.contract_harness import Harness

MINUTE = 60.0


def asked(amount: float = 1, most: float | None = 3) -> Count:
    """A count of requests."""
    return Count("requests", amount, MINUTE, most)


async def hold(harness: Harness, *holders: str, ttl: float = 30, most: int | None = 2) -> Taken:
    """Hold slots of an owner, or give them back."""
    return await harness.store.take("acme", (), Slots(holders, ttl, most))


class Counters:
    async def test_a_counter_is_shared_and_refuses_what_is_too_much(self, harness: Harness) -> None:
        """Of twenty at once through two processes as many pass as may; what is refused is not counted."""
        stores = [harness.store, harness.peer] * 10
        taken = await asyncio.gather(*(store.take("acme", [asked(most=7)]) for store in stores))
        assert sorted(each.refused for each in taken) == [""] * 7 + ["requests"] * 13
        assert {each.used[0] for each in taken if each.refused} == {7.0}
        assert all(0 < each.resets[0] <= MINUTE for each in taken)
        assert (await harness.peer.take("other", [asked(most=7)])).used == [1.0]

    async def test_the_first_refusal_ends_a_take(self, harness: Harness) -> None:
        """What comes before it is counted, what comes behind it is not; nor is a slot held."""
        counts = [asked(), Count("tokens", 0, MINUTE, 10), Count("money", 0.25, 86_400.0)]
        assert (await harness.store.take("acme", counts, Slots(["a"], 30, 2))).held == 1
        await harness.peer.take("acme", [Count("tokens", 10.5, MINUTE)])
        refused = await harness.peer.take("acme", counts, Slots(["b"], 30, 2))
        assert (refused.refused, refused.used, refused.held) == ("tokens", [2.0, 10.5, 0.25], 1)

    async def test_an_amount_without_a_limit_is_always_added(self, harness: Harness) -> None:
        """Beyond any limit, and in fractions: what an answer has cost is known when it is there."""
        for _ in range(3):
            await harness.store.take("acme", [Count("money", 0.1, MINUTE)])
        found = await harness.peer.take("acme", [Count("money", 0, MINUTE, 0.2)])
        assert (found.refused, round(found.used[0], 9)) == ("money", 0.3)

    async def test_a_window_ends(self, harness: Harness) -> None:
        """With the minute of the store's clock; windows of other lengths go on."""
        harness.clock.now += MINUTE - harness.clock.now % MINUTE + 1
        counts = [asked(3), Count("daily", 1, 86_400.0)]
        first = await harness.store.take("acme", counts)
        assert (await harness.peer.take("acme", counts)).refused == "requests"
        harness.clock.now += first.resets[0] + 0.1
        again = await harness.peer.take("acme", counts)
        assert (again.refused, again.used[0]) == ("", 3.0)

    async def test_slots_are_shared_renewed_and_given_back(self, harness: Harness) -> None:
        """A holder has one slot however often it asks; one that is given back twice is given back once."""
        assert [(await hold(harness, *holders)).held for holders in (["a"], ["a"], ["b"])] == [1, 1, 2]
        full = await harness.peer.take("acme", (), Slots(["c"], 30, 2))
        assert (full.refused, full.held) == (SLOTS, 2)
        assert not (await hold(harness, "a", "b", most=1)).refused, "who holds a slot is never refused"
        assert [(await hold(harness, "a", ttl=0)).held for _ in range(2)] == [1, 1]
        assert (await harness.peer.take("acme", (), Slots(["c"], 30, 2))).held == 2
        assert (await hold(harness, "d", most=None)).held == 3
        assert (await harness.store.take("acme", [asked()])).held == 0, "slots were not asked about"

    async def test_a_slot_whose_holder_is_silent_is_free(self, harness: Harness) -> None:
        """Its time is over when its server has died; a renewal keeps it."""
        await hold(harness, "a", "b")
        harness.clock.now += 20
        await hold(harness, "a")
        harness.clock.now += 20
        assert (await hold(harness, "c")).held == 2
        assert (await hold(harness, "b")).refused == SLOTS
