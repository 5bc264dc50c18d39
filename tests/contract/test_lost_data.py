"""Redis loses its data beneath running servers: all of it, or a part. Nobody hangs, and servers share again."""

import asyncio
from collections.abc import AsyncGenerator, Generator

import pytest
from redis_servers import Server, engines, serving

from headwater.answers.claim import TRUSTED, Caching, Claims, Wanted
from headwater.entries import Entry
from headwater.errors import StoreError
from headwater.events import Error, TextDelta
from headwater.log.logs import Logs
from headwater.log.lua.script import key
from headwater.log.memory import MemoryStore
from headwater.log.redis.store import RedisStore
from headwater.log.redis.times import RedisTimes
from headwater.log.store import Store
from headwater.models.catalogue import Offer
from headwater.models.model import Model
from headwater.prompt import Message, Prompt
from headwater.testing.contract import LIMITS
from headwater.testing.contract_harness import ALICE, BOB, TEST_TIMEOUT, TTL, WHOLE, Clock, entry, run, until


async def nothing() -> Model:
    raise AssertionError("these tests generate nothing")


WANTED = Wanted(
    Offer("model", "upstream", True, nothing), Prompt(model="model", messages=[Message("user", "?")]), ALICE
)


@pytest.fixture(scope="module")
def shared() -> Generator[Server, None, None]:
    with serving(engines()[0]) as server:
        yield server


@pytest.fixture
def server(shared: Server) -> Server:
    shared.command("FLUSHALL")
    return shared


@pytest.fixture
async def stores(server: Server) -> AsyncGenerator[list[RedisStore], None]:
    """The stores of two processes."""
    made = [RedisStore(server.url, LIMITS, times=RedisTimes(look_every=0.2)) for _ in range(2)]
    yield made
    for each in made:
        await each.aclose()


LOSSES = pytest.mark.parametrize("loss", ["all", "log", "packs"])


def lose(server: Server, what: str) -> None:
    if what == "all":
        server.command("FLUSHALL")
    else:
        server.command("DEL", key(what, "log"))


def code(got: list[Entry]) -> str:
    event = got[-1].event
    assert isinstance(event, Error)
    assert event.retryable
    return event.code


@LOSSES
async def test_a_name_bound_to_a_log_that_is_gone_is_a_miss(
    server: Server, stores: list[RedisStore], loss: str
) -> None:
    """Never a hit that leads nowhere, whether the answer was whole or still running."""
    store, peer = stores
    for ends in (True, False):
        claim = await store.claim("name", "log", ALICE, ttl=TTL)
        assert claim.lease is not None
        if ends:
            await store.seal([*run("a"), entry(2, WHOLE)], claim.lease)
        lose(server, loss)
        assert await peer.find("name", BOB) is None
        assert (await peer.claim("name", f"next {ends}", BOB, ttl=TTL)).won
        server.command("FLUSHALL")


@LOSSES
async def test_readers_of_a_log_that_vanished_hear_that_it_is_lost(
    server: Server, stores: list[RedisStore], loss: str
) -> None:
    """Beside the writer and elsewhere, after all that the process has in memory."""
    store, peer = stores
    lease = await store.open("log", ALICE, ttl=TTL)
    shown: dict[str, list[Entry]] = {"near": [], "far": []}

    async def read(where: str, logs: Logs) -> None:
        async for page in logs.read("log"):
            shown[where].extend(page)

    logs = Logs(store)
    async with asyncio.timeout(TEST_TIMEOUT), logs.write(lease) as writer:
        interrupted = asyncio.Event()
        writer.interrupt = interrupted.set
        tasks = [asyncio.create_task(read("near", logs)), asyncio.create_task(read("far", Logs(peer)))]
        writer.append([TextDelta("a")])
        await until(lambda: [len(got) for got in shown.values()] == [1, 1])
        lose(server, loss)
        writer.append([TextDelta("b")])
        await interrupted.wait()
        await writer.seal(WHOLE)
        await asyncio.gather(*tasks)
    assert [each.event for each in shown["near"][:-1]] == [TextDelta("a"), TextDelta("b")]
    assert [code(got) for got in shown.values()] == ["lost", "lost"]


async def test_a_hit_whose_log_vanishes_before_it_is_read_is_lost_and_not_unknown(
    server: Server, stores: list[RedisStore]
) -> None:
    """Between the claim and the read anything can happen."""
    store, _ = stores
    claim = await store.claim("name", "log", ALICE, ttl=TTL)
    assert claim.lease is not None
    await store.seal([*run("a"), entry(2, WHOLE)], claim.lease)
    assert not (await store.claim("name", "next", BOB, ttl=TTL)).won
    server.command("FLUSHALL")
    got = [each async for page in Logs(store).read("log", sealed=True) for each in page]
    assert code(got) == "lost"


async def asked(claims: Claims, store: Store) -> str:
    """The log that answers the one question."""
    claim, _ = await claims.claim(store, WANTED)
    return claim.log


@pytest.mark.parametrize("first", ["running", "started"])
async def test_servers_share_again_after_the_store_lost_everything(
    server: Server, stores: list[RedisStore], first: str
) -> None:
    """Two servers run, the data is lost, a third starts: whoever asks first, soon all three have the same secret."""
    clock = Clock()
    one, two = (Claims(Caching(), clock) for _ in range(2))
    assert await asked(one, stores[0]) == await asked(two, stores[1])
    server.command("FLUSHALL")
    clock.now += TRUSTED
    three = Claims(Caching(), clock)
    order = [one, three, two] if first == "running" else [three, one, two]
    logs = [await asked(each, stores[0]) for each in order]
    assert len(set(logs)) == 1, logs


async def test_a_secret_that_cannot_be_confirmed_is_used_on() -> None:
    """A stored answer must not wait for the write lock, nor fail, because the secret was to be confirmed."""

    class Failing(MemoryStore):
        calls = 0

        async def constant(self, name: str, value: bytes) -> bytes:
            self.calls += 1
            if self.calls > 1:
                raise StoreError("away")
            return await super().constant(name, value)

    clock, store = Clock(), Failing()
    claims = Claims(Caching(), clock)
    log = await asked(claims, store)
    clock.now += TRUSTED
    assert await asked(claims, store) == log
    assert await asked(claims, store) == log
    assert store.calls == 2
