"""Clause 8: `check` says whether the store can be used now, and changes nothing."""

import pytest

from headwater.errors import StoreError
from headwater.testing.contract_harness import ALICE, TTL, Harness, texts


class Checks:
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
