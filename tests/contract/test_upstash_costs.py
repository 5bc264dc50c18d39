"""What Upstash bills: the commands of a writer, of a remote reader, and of an idle server.

The database itself counts, so that commands inside scripts count like any others, as in Upstash's own examples.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import msgspec
import pytest
from upstash_double import UpstashDouble

from headwater.events import Finish, Start, TextDelta
from headwater.log.counters import Count, Slots
from headwater.log.logs import Logs
from headwater.log.store import DOCUMENTS
from headwater.log.upstash.store import UpstashStore
from headwater.log.upstash.times import UpstashTimes
from headwater.testing.contract_harness import ALICE, TTL, WHOLE, Clock, entries, entry, reading, run, until

TOKENS = 1000
FASTER = 20
"""How many times faster a hasty test runs: all intervals shrink alike."""


USUAL = UpstashTimes()
HASTY = msgspec.structs.replace(
    USUAL,
    flush=USUAL.flush / FASTER,
    heartbeat=USUAL.heartbeat / FASTER,
    quick=USUAL.quick / FASTER,
    slow=USUAL.slow / FASTER,
    batch_window=USUAL.batch_window / FASTER,
    renew_lease=USUAL.renew_lease / FASTER,
)
hasty = pytest.mark.parametrize("times", [HASTY], ids=["hasty"])
"""Marks a test in which both servers run faster."""


async def answer(store: UpstashStore, *, seconds: float) -> float:
    """Claim a name and write an answer of 1,000 tokens, spread evenly over some time; returns the seconds it took."""
    claim = await store.claim("name", "log", ALICE, ttl=TTL)
    assert claim.lease is not None
    begin = time.monotonic()
    async with Logs(store).write(claim.lease) as writer:
        writer.append([Start("message", "model")])
        for i in range(TOKENS):
            writer.append([TextDelta(" token")])
            await writer.room()
            await asyncio.sleep(max(begin + i * seconds / FASTER / TOKENS - time.monotonic(), 0))
        await writer.seal(Finish("stop"))
    return (time.monotonic() - begin) * FASTER


async def at_rest() -> None:
    """Wait until no task is left that could send a request."""
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


async def test_a_check(here: UpstashStore, upstash: UpstashDouble) -> None:
    """A check, which a load balancer may ask for every few seconds, costs one command."""
    await here.check()
    assert upstash.carried_out() == here.rest.commands == 1


async def test_an_answer_in_a_burst(here: UpstashStore, there: UpstashStore, upstash: UpstashDouble) -> None:
    """An answer of 1,000 tokens at once costs a command for every 16 KB, and few others."""
    await answer(here, seconds=0)
    assert upstash.carried_out() <= 40
    assert len(await entries(there, "log")) == TOKENS + 2


@hasty
@pytest.mark.parametrize("seconds", [20, 60])
async def test_an_answer_at_a_usual_pace(
    here: UpstashStore, there: UpstashStore, upstash: UpstashDouble, seconds: float
) -> None:
    """An answer of 1,000 tokens at 50 or 17 a second costs a command a second, and at most 40 others."""
    lasted = await answer(here, seconds=seconds)
    assert upstash.carried_out() <= 40 + lasted
    assert len(await entries(there, "log")) == TOKENS + 2


@hasty
async def test_a_model_that_thinks(here: UpstashStore, upstash: UpstashDouble) -> None:
    """A writer of a silent model costs a command a second: the heartbeat, which also learns of a stop."""
    lease = await here.open("log", ALICE, ttl=TTL)
    begin, before = time.monotonic(), upstash.carried_out()
    async with Logs(here).write(lease) as writer:
        await until(lambda: upstash.carried_out() >= before + 20)
        lasted = (time.monotonic() - begin) * FASTER
        await writer.seal(Finish("stop"))
    # Fewer than twenty heartbeats fit in less than twenty intervals.
    assert lasted >= 20 - 1


@hasty
async def test_remote_readers(here: UpstashStore, there: UpstashStore, upstash: UpstashDouble) -> None:
    """Following a log that another server writes costs at most two commands a second, its first read included."""
    lease = await here.open("log", ALICE, ttl=TTL)
    before, sent = upstash.carried_out(), here.rest.commands
    begin = time.monotonic()
    task, got = await reading(there, "log")
    for second in range(1, 21):
        await here.append(run("a", begin=second), lease)
        await asyncio.sleep(max(begin + second / FASTER - time.monotonic(), 0))
    await until(lambda: len(got) == 20)
    appended = here.rest.commands - sent  # each a plain command
    assert upstash.carried_out() - before - appended <= 2 * (time.monotonic() - begin) * FASTER
    await here.seal([entry(21, WHOLE)], lease)
    assert len(await task) == 21


@hasty
async def test_many_readers_of_one_log(here: UpstashStore, there: UpstashStore, upstash: UpstashDouble) -> None:
    """All followers of a log in one process share one look, and so do a crowd's first reads."""
    lease = await here.open("log", ALICE, ttl=TTL)
    logs = Logs(there)
    tasks = [(await reading(logs, "log"))[0] for _ in range(10)]
    await until(lambda: upstash.requests[-2:] == ["/pipeline", "/pipeline"])
    assert upstash.requests.count("EVAL") == 1 + 1
    before, begin = upstash.carried_out(), time.monotonic()
    await until(lambda: upstash.carried_out() - before >= 20)
    assert 2 * (time.monotonic() - begin) * FASTER >= 20 - 1
    await here.seal([entry(1, WHOLE)], lease)
    for task in tasks:
        assert len(await task) == 1


@hasty
async def test_many_logs_that_rest(here: UpstashStore, there: UpstashStore, upstash: UpstashDouble) -> None:
    """Fifty followed logs share the requests that look at them, twice a second at most while they rest."""
    for i in range(50):
        await here.open(f"log-{i}", ALICE, ttl=TTL)
    tasks = [(await reading(there, f"log-{i}"))[0] for i in range(50)]
    await until(lambda: upstash.requests.count("EVAL") == 50 + 50 and upstash.requests[-1] == "/pipeline")
    begin, before, requests = time.monotonic(), upstash.carried_out(), len(upstash.requests)
    await until(lambda: len(upstash.requests) - requests >= 8)
    looks, commands = len(upstash.requests) - requests, upstash.carried_out() - before
    lasted = (time.monotonic() - begin) * FASTER
    assert looks - 1 <= 2 * lasted
    assert commands - 100 <= 50 * 2 * lasted  # the looks at either end may be under way, of two commands for each log
    assert commands >= 20 * looks  # most logs share each request
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await at_rest()


async def test_a_collection(here: UpstashStore, upstash: UpstashDouble) -> None:
    """A step over a collection costs a few commands, however many documents it has; each locks its own keys alone."""
    month = 30 * 86_400.0
    steps: dict[str, Callable[[str], Awaitable[object]]] = {
        "put": lambda name: here.put(name, b"value", ttl=month, collection="chat"),
        "get": lambda name: here.get(name, collection="chat"),
        "renew": lambda _: here.renew_documents("chat", month),
        "list": lambda _: here.list_documents("chat"),
        "delete": lambda name: here.delete(name, collection="chat"),
        "drop": lambda _: here.delete_documents("chat"),
    }
    costs: dict[str, int] = {}
    for name in map(str, range(DOCUMENTS)):
        await steps["put"](name)
    for what, step in (("new", "put"), *((each, each) for each in steps)):
        before = upstash.carried_out()
        await steps[step]("another")
        costs[what] = upstash.carried_out() - before
    assert costs == {"new": 6, "put": 4, "get": 3, "renew": 4, "list": 6, "delete": 3, "drop": 2}
    assert upstash.locked == upstash.requests.count("EVAL")


async def test_a_collection_of_which_a_document_has_expired(upstash: UpstashDouble) -> None:
    """The next list looks for all that have; those after it cost what a page costs."""
    clock = Clock()
    store = UpstashStore(upstash.url, upstash.token, clock=clock)
    for name, ttl in (("short", 1.0), ("long", 1000.0)):
        await store.put(name, b"value", ttl=ttl, collection="chat")
    clock.now += 2
    costs: list[int] = []
    for _ in range(3):
        before = upstash.carried_out()
        assert [name for name, _ in await store.list_documents("chat")] == ["long"]
        costs.append(upstash.carried_out() - before)
    assert costs == [11, 6, 6]
    await store.aclose()


async def test_limits(here: UpstashStore, upstash: UpstashDouble) -> None:
    """A request that is counted costs a few commands, however many limits there are; each locks its own keys alone."""
    asked = [Count("requests", 1, 60.0, 9), Count("tokens", 0, 60.0, 9), Count("tokens-day", 0, 86_400.0, 9)]
    charged = [Count("tokens", 5, 60.0), Count("tokens-day", 5, 86_400.0)]
    steps = {
        "first": (asked, None),
        "asked": (asked, Slots((), 60)),
        "held": ((), Slots(["a"], 60, 2)),
        "renewed": ((), Slots(["a"], 60)),
        "ended": (charged, Slots(["a"], 0)),
    }
    costs: dict[str, int] = {}
    for what, (counts, slots) in steps.items():
        before = upstash.carried_out()
        await here.take("acme", counts, slots)
        costs[what] = upstash.carried_out() - before
    assert costs == {"first": 6, "asked": 6, "held": 8, "renewed": 6, "ended": 9}
    assert upstash.locked == upstash.requests.count("EVAL")


@hasty
async def test_an_idle_server(here: UpstashStore, there: UpstashStore, upstash: UpstashDouble) -> None:
    """A server that writes nothing and whose readers have left sends nothing at all."""
    lease = await here.open("log", ALICE, ttl=TTL)
    await here.append(run("a"), lease)
    async with aclosing(there.read("log")) as pages:
        assert len(await anext(pages)) == 1
    leaver, _ = await reading(there, "log")
    await until(lambda: upstash.requests.count("/pipeline") == 2)  # the append, and one poll
    leaver.cancel()
    await asyncio.gather(leaver, return_exceptions=True)
    before = len(upstash.requests)
    await at_rest()
    assert len(upstash.requests) == before
