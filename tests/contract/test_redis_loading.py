"""The Redis store while Redis loads its data: it retries for some time, then its error says what Redis does."""

from collections.abc import Generator
from contextlib import contextmanager

import pytest
from redis_servers import Engine, Server, engines, serving

from headwater.errors import StoreError
from headwater.events import TextDelta
from headwater.log.logs import Logs
from headwater.log.redis.store import RedisStore
from headwater.testing.contract import LIMITS
from headwater.testing.contract_harness import ALICE, TTL, WHOLE, entry, reading, run, texts, until

KEYS = 1000


@pytest.fixture(params=engines(), ids=lambda engine: engine.name)
def engine(request: pytest.FixtureRequest) -> Engine:
    return request.param


@contextmanager
def slow_to_load(engine: Engine, seconds: float) -> Generator[Server, None, None]:
    """A server that, killed and launched again, takes so long to load its data; meanwhile it answers -LOADING."""
    # It answers clients after each 1024 bytes, which is each key.
    slow = ("--key-load-delay", str(round(seconds / KEYS * 1e6)), "--loading-process-events-interval-bytes", "1024")
    with serving(engine, "--appendonly", "yes", "--rdbcompression", "no", *slow) as server:
        fill = f"for i = 1, {KEYS} do redis.call('SET', 'filling:' .. i, string.rep('.', 1024), 'PX', 60000) end"
        server.command("EVAL", fill, 0)
        yield server


def restart(server: Server) -> None:
    """Kill it once all its data is in a snapshot, and launch it without waiting for it."""
    server.command("BGREWRITEAOF")
    while server.command("INFO", "persistence")["aof_rewrite_in_progress"]:
        pass
    server.kill()
    server.launch()


async def test_a_short_load(engine: Engine) -> None:
    """The writer and the readers wait, and the answer continues when Redis has loaded its data."""
    with slow_to_load(engine, 1.5) as server:
        store, peer = RedisStore(server.url, LIMITS), RedisStore(server.url, LIMITS)
        try:
            logs = Logs(store)
            async with logs.write(await store.open("log", ALICE, ttl=TTL)) as writer:
                writer.append([TextDelta("a")])
                task, got = await reading(peer, "log")
                await until(lambda: len(got) == 1)
                restart(server)
                writer.append([TextDelta("b")])
                await writer.seal(WHOLE)
                assert len(await task) == 3
            assert await texts(peer, "log") == ["a", "b"]
        finally:
            await store.aclose()
            await peer.aclose()


async def test_a_load_that_lasts(engine: Engine) -> None:
    """Every call fails with an error that says what Redis does, and nothing looks empty."""
    with slow_to_load(engine, 20) as server:
        store = RedisStore(server.url, LIMITS)
        try:
            lease = await store.open("log", ALICE, ttl=TTL)
            restart(server)
            await until(lambda: server.socket.exists())
            for step in (
                store.find("name", ALICE),
                store.append(run("a"), lease),
                store.seal([entry(1, WHOLE)], lease),
                store.describe("log"),
                store.claim("name", "log", ALICE, ttl=TTL),
                store.check(),
            ):
                with pytest.raises(StoreError, match="is loading its data"):
                    await step
        finally:
            await store.aclose()
