"""What Upstash bills: the commands of a writer, of a remote reader, and of a server where nothing happens."""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing
from typing import NamedTuple

import msgspec
import pytest
from upstash_double import UpstashDouble, upstash_double

from headwater.events import Finish, Start, TextDelta
from headwater.log.logs import Logs
from headwater.log.store import Flush
from headwater.log.upstash import UpstashStore
from headwater.testing.contract_harness import ALICE, TTL, WHOLE, entries, entry, reading, run, until

TOKENS = 1000
FASTER = 20
"""How much faster than life a test runs: the interval of flushes and the heartbeat shrink alike."""


class Stores(NamedTuple):
    """Two servers' handles on one database."""

    here: UpstashStore
    there: UpstashStore


@pytest.fixture(scope="module")
def running() -> Generator[UpstashDouble, None, None]:
    with upstash_double() as double:
        yield double


@pytest.fixture
def upstash(running: UpstashDouble) -> UpstashDouble:
    running.reset()
    return running


@pytest.fixture
async def stores(upstash: UpstashDouble) -> AsyncGenerator[Stores, None]:
    stores = Stores(*(UpstashStore(upstash.url, upstash.token) for _ in range(2)))
    yield stores
    for store in stores:
        await store.aclose()


def hasten(store: UpstashStore) -> None:
    store.flush = Flush(store.flush.interval / FASTER, store.flush.events, store.flush.bytes)
    store.limits = msgspec.structs.replace(store.limits, heartbeat=store.limits.heartbeat / FASTER)


async def answer(store: UpstashStore, *, seconds: float) -> None:
    """Claim a name and write an answer of a thousand tokens, evenly over some time."""
    claim = await store.claim("name", "log", ALICE, ttl=TTL)
    assert claim.lease is not None
    begin = time.monotonic()
    async with Logs(store).write(claim.lease) as writer:
        writer.append([Start("message", "model")])
        for i in range(TOKENS):
            writer.append([TextDelta(" token")])
            await writer.room()
            await asyncio.sleep(max(begin + i * seconds / TOKENS - time.monotonic(), 0))
        await writer.seal(Finish("stop"))


async def test_an_answer_in_one_breath(stores: Stores) -> None:
    """An answer of 1,000 tokens that comes at once costs a command for every 16 KB, and little besides."""
    await answer(stores.here, seconds=0)
    assert len(await entries(stores.there, "log")) == TOKENS + 2
    assert stores.here.rest.commands <= 10


async def test_an_answer_at_the_usual_pace(stores: Stores) -> None:
    """An answer of 1,000 tokens at 50 a second costs a command a second, and at most 40 besides."""
    hasten(stores.here)
    await answer(stores.here, seconds=20 / FASTER)
    assert len(await entries(stores.there, "log")) == TOKENS + 2
    assert stores.here.rest.commands <= 20 + 40


async def test_a_model_that_thinks(stores: Stores) -> None:
    """A writer whose model is silent costs a command a second: the heartbeat, which also asks whether to stop."""
    hasten(stores.here)
    lease = await stores.here.open("log", ALICE, ttl=TTL)
    begin, before = time.monotonic(), stores.here.rest.commands
    async with Logs(stores.here).write(lease) as writer:
        await until(lambda: stores.here.rest.commands >= before + 20)
        lasted = (time.monotonic() - begin) * FASTER
        await writer.seal(Finish("stop"))
    # Fewer than twenty heartbeats fit in less than twenty intervals; two looks come before the first of them.
    assert lasted >= 20 - 3


async def test_remote_readers(stores: Stores) -> None:
    """A log that is written elsewhere costs at most two commands a second to follow, however many follow it here."""
    readers = 10
    lease = await stores.here.open("log", ALICE, ttl=TTL)
    tasks = [(await reading(stores.there, "log"))[0] for _ in range(readers)]
    begin = time.monotonic()
    for second in range(2):
        await stores.here.append(run("a", begin=second + 1), lease)
        await asyncio.sleep(begin + second + 1 - time.monotonic())
    await stores.here.seal([entry(3, WHOLE)], lease)
    for task in tasks:
        assert len(await task) == 3
    # Each looked at what there was when it came; then one waits for all.
    assert stores.there.rest.commands - readers <= 2 * (time.monotonic() - begin) + 1


async def test_many_logs_that_rest(stores: Stores) -> None:
    """Fifty logs that are followed here while nothing comes cost one look for all, less and less often."""
    for i in range(50):
        await stores.here.open(f"log-{i}", ALICE, ttl=TTL)
    tasks = [(await reading(stores.there, f"log-{i}"))[0] for i in range(50)]
    await until(lambda: stores.there.rest.commands >= 50)  # each has looked at what there is
    begin, before = time.monotonic(), stores.there.rest.commands
    await asyncio.sleep(1.5)
    assert stores.there.rest.commands - before <= 2 * (time.monotonic() - begin) + 1
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_idle_server(stores: Stores) -> None:
    """A server that writes nothing and whose readers have gone sends nothing at all."""
    lease = await stores.here.open("log", ALICE, ttl=TTL)
    await stores.here.append(run("a"), lease)
    async with aclosing(stores.there.read("log")) as pages:
        assert len(await anext(pages)) == 1
    leaver, _ = await reading(stores.there, "log")
    await until(lambda: stores.there.rest.commands >= 3)  # its own look, and one poll
    leaver.cancel()
    await asyncio.gather(leaver, return_exceptions=True)
    before = stores.there.rest.commands
    await asyncio.sleep(1)
    assert stores.there.rest.commands == before
