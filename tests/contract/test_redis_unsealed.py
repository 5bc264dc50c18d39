"""A writer on Redis has died, and Redis takes no ending."""

from collections.abc import Generator

import pytest
from redis_servers import Server, engines, serving

from headwater.errors import StoreError
from headwater.log.redis.store import RedisStore
from headwater.log.redis.times import RedisTimes
from headwater.testing.contract_harness import ALICE, QUICK, TTL, WHOLE, entry, reading


@pytest.fixture
def server() -> Generator[Server, None, None]:
    with serving(engines()[0]) as server:
        yield server


async def test_a_log_that_cannot_be_sealed_is_an_error_for_its_own_readers(server: Server) -> None:
    """Out of memory, Redis takes no ending. Readers of a dead writer's log hear that; those of a live one read on."""
    times = RedisTimes(look_every=0.1, unreachable_after=0.3)
    store, peer = (RedisStore(server.url, QUICK, times=times) for _ in range(2))
    await store.open("silent", ALICE, ttl=TTL)
    live = await store.open("live", ALICE, ttl=TTL)
    live_reader, _ = await reading(peer, "live")
    server.command("CONFIG", "SET", "maxmemory", "1")
    try:
        for _ in range(3):  # each hears it from another look, which looked at both
            dead_reader, _ = await reading(peer, "silent")
            while not dead_reader.done():
                await store.append([], live)
            with pytest.raises(StoreError, match="out of memory"):
                await dead_reader
        assert not live_reader.done()
    finally:
        server.command("CONFIG", "SET", "maxmemory", "0")
    await store.seal([entry(1, WHOLE)], live)
    assert len(await live_reader) == 1
    await peer.aclose()
    await store.aclose()
