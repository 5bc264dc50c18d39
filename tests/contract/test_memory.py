"""The reference store keeps the contract."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from headwater.errors import Expired
from headwater.log.memory import MemoryStore
from headwater.log.store import Limits
from headwater.testing.contract import Clock, Harness, StoreContract
from headwater.testing.contract_harness import LIMITS


class TestMemoryStore(StoreContract):
    @pytest.fixture
    async def harness(self, limits: Limits) -> AsyncGenerator[Harness, None]:
        clock = Clock()
        store = MemoryStore(limits, clock)
        yield Harness(store, store, clock)
        await store.aclose()

    async def test_a_log_that_is_deleted_while_its_reader_is_busy(self, harness: Harness) -> None:
        """A reader that is busy while its log is deleted gets `Expired` with its next page, not a lease later."""
        lease = await harness.opened("a")
        async with aclosing(harness.store.read(lease.log)) as pages:
            assert len(await anext(pages)) == 1
            await harness.store.forget(lease.log)
            with pytest.raises(Expired):
                async with asyncio.timeout(LIMITS.lease / 2):
                    await anext(pages)
