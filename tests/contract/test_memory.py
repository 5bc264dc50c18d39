"""The reference store keeps the contract."""

from collections.abc import AsyncGenerator

import pytest

from headwater.log.memory import MemoryStore
from headwater.log.store import Limits
from headwater.testing.contract import Clock, Harness, StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    async def harness(self, limits: Limits) -> AsyncGenerator[Harness, None]:
        clock = Clock()
        store = MemoryStore(limits, clock)
        yield Harness(store, store, clock)
        await store.aclose()
