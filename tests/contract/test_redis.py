"""The Redis store keeps the contract over real servers, and leaves nothing in them that never goes."""

from collections.abc import AsyncGenerator, Generator

import pytest
from redis_servers import Engine, Server, engines, serving

from headwater.log.redis import RedisStore
from headwater.log.store import Limits
from headwater.testing.contract import Clock, Harness, StoreContract


@pytest.fixture(scope="module", params=engines(), ids=lambda engine: engine.name)
def engine(request: pytest.FixtureRequest) -> Engine:
    return request.param


@pytest.fixture(scope="module")
def server(engine: Engine) -> Generator[Server, None, None]:
    with serving(engine) as server:
        yield server


class TestRedisStore(StoreContract):
    @pytest.fixture
    async def harness(self, server: Server, limits: Limits) -> AsyncGenerator[Harness, None]:
        server.command("FLUSHALL")
        clock = Clock()
        store, peer = (RedisStore(server.url, limits, clock) for _ in range(2))
        yield Harness(store, peer, clock)
        await peer.aclose()
        await store.aclose()
        assert server.keys_without_ttl() == []
