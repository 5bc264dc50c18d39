"""Purges: what a server knows of those of others, and when."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from headwater.answers.purges import FRESH, Purges
from headwater.errors import StoreError
from headwater.log.memory import MemoryStore
from headwater.log.store import Document

DAY = 86_400.0


class Clock:
    """Seconds, as a test sets them."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def store() -> AsyncGenerator[MemoryStore]:
    """What two servers share."""
    store = MemoryStore()
    yield store
    await store.aclose()


async def test_another_server_learns_of_a_purge_after_a_while_and_of_no_other_tenant(store: MemoryStore) -> None:
    """The one that purges knows at once."""
    clock = Clock()
    here, there = Purges(clock), Purges(clock)
    for each in (here, there):
        await each.refresh(store)
    await here.purge(store, "acme", DAY)
    await there.refresh(store)
    early = there.token("acme")
    clock.now = FRESH
    await there.refresh(store)

    assert here.token("acme")
    assert (early, there.token("acme")) == ("", here.token("acme"))
    assert there.token("other") == here.token("other") == ""


async def test_purges_at_the_same_time_are_both_kept_and_each_has_a_token_of_its_own(store: MemoryStore) -> None:
    """One document holds all of them, so that one reads what the other has just written."""
    here, there = Purges(), Purges()
    await asyncio.gather(*(each.purge(store, name, DAY) for each in (here, there) for name in ("acme", "other")))
    fresh = Purges()
    await fresh.refresh(store)
    tokens = {fresh.token("acme"), fresh.token("other")}
    await fresh.purge(store, "acme", DAY)

    assert len(tokens) == 2
    assert "" not in tokens
    assert fresh.token("acme") not in tokens


async def test_what_no_stored_answer_is_older_than_is_forgotten(store: MemoryStore) -> None:
    """So the document does not grow with all tenants that ever were."""
    purges = Purges()
    await purges.purge(store, "old", kept=0.0005)
    await asyncio.sleep(0.01)
    await purges.purge(store, "new", kept=0.0005)

    assert (purges.token("old"), bool(purges.token("new"))) == ("", True)


async def test_a_server_that_knows_the_purges_goes_on_while_the_store_fails() -> None:
    """One that has just started does not: it might answer with what was purged."""

    class Failing(MemoryStore):
        fails = False

        async def get(self, name: str, *, collection: str = "") -> Document | None:
            if self.fails:
                raise StoreError("gone")
            return await super().get(name, collection=collection)

    store, clock = Failing(), Clock()
    known = Purges(clock)
    await known.purge(store, "acme", DAY)
    store.fails, clock.now = True, 2 * FRESH
    await known.refresh(store)

    assert known.token("acme")
    with pytest.raises(StoreError):
        await Purges(clock).refresh(store)
    await store.aclose()
