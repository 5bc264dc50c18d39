"""The Upstash store keeps the contract, over a double of the service, and looks after what it leaves there."""

import os
import secrets
from collections.abc import AsyncGenerator, Generator

import pytest
from upstash_double import UpstashDouble, upstash_double

from headwater.log.store import Limits
from headwater.log.upstash import UpstashStore
from headwater.testing.contract import Clock, Harness, StoreContract


@pytest.fixture(scope="module")
def double() -> Generator[UpstashDouble, None, None]:
    with upstash_double() as running:
        yield running


@pytest.fixture
def upstash(double: UpstashDouble) -> UpstashDouble:
    double.reset()
    return double


class TestUpstashStore(StoreContract):
    @pytest.fixture
    async def harness(self, limits: Limits, upstash: UpstashDouble) -> AsyncGenerator[Harness, None]:
        clock = Clock()
        store, peer = (UpstashStore(upstash.url, upstash.token, limits, clock) for _ in range(2))
        yield Harness(store, peer, clock)
        await peer.aclose()
        await store.aclose()
        lasting = [key for key in upstash.engine.scan_iter() if upstash.engine.ttl(key) == -1]
        assert lasting == [], "keys without a TTL"
