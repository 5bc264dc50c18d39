"""A producer from its model to its log's ending, whatever the model or the server does meanwhile."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from headwater.answers.generation import Generation, Timeouts
from headwater.answers.nursery import Nursery
from headwater.answers.source import Source
from headwater.entries import Entry
from headwater.events import Error, Event, Finish, Start, TextDelta
from headwater.log.logs import Logs
from headwater.log.memory import MemoryStore
from headwater.log.store import Lease
from headwater.log.writer import Writer
from headwater.models.model import Model
from headwater.models.scripted import SILENCE, Scripted
from headwater.observe import Request
from headwater.prompt import Message, Prompt
from headwater.testing.contract_harness import ALICE, TTL, WHOLE, entries, until

PROMPT = Prompt(model="scripted", messages=[Message("user", "Hi")])


def generation(model: Model, writer: Writer, **limits: float) -> Generation:
    async def build() -> Model:
        return model

    request = Request(writer.log, ALICE, PROMPT, "miss")
    return Generation([Source(PROMPT, build)], request, writer, Timeouts(**limits, retries=0))


async def test_a_whole_answer_outlives_a_cancellation_while_it_is_stored() -> None:
    """A server that ends while an answer's ending is on its way to the store waits for it."""
    sealing = asyncio.Event()

    class Telling(MemoryStore):
        async def seal(self, entries: Sequence[Entry], lease: Lease) -> None:
            sealing.set()
            await asyncio.sleep(0)  # the cancellation comes here
            await super().seal(entries, lease)

    store = Telling()
    async with Logs(store).write(await store.open("log", ALICE, ttl=TTL)) as writer:
        running = asyncio.create_task(generation(Scripted([TextDelta("a"), WHOLE]), writer).run())
        await sealing.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert (await store.describe("log")).state == "finished"


async def test_an_abandoned_model_cannot_append_any_more() -> None:
    """Events of a model that ignored its cancellation are dropped, also while its log's ending is being stored."""
    ended, spoken = asyncio.Event(), asyncio.Event()

    class Stubborn:
        name = "stubborn"

        async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
            yield [TextDelta("a")]
            while not ended.is_set():
                try:
                    await ended.wait()
                except asyncio.CancelledError:
                    continue
            yield [TextDelta("late")]
            spoken.set()
            yield [Finish("stop")]

    class Slow(MemoryStore):
        async def seal(self, entries: Sequence[Entry], lease: Lease) -> None:
            ended.set()
            await spoken.wait()
            await super().seal(entries, lease)

    store = Slow()
    logs = Logs(store)
    async with logs.write(await store.open("log", ALICE, ttl=TTL)) as writer:
        await generation(Stubborn(), writer, silence=0.05, closing=0.05).run()
        shown = [each for page in [page async for page in logs.read("log")] for each in page]
        assert [type(each.event) for each in shown] == [Start, TextDelta, Error]
        assert shown == await entries(store, "log")


async def test_a_model_that_cancels_itself_has_failed() -> None:
    """A cancellation from within the model is the model's failure, not the server's end."""

    class Cancelling:
        name = "cancelling"

        async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
            yield [TextDelta("a")]
            raise asyncio.CancelledError

    store = MemoryStore()
    async with Logs(store).write(await store.open("log", ALICE, ttl=TTL)) as writer:
        await generation(Cancelling(), writer).run()
    ending = (await entries(store, "log"))[-1].event
    assert isinstance(ending, Error)
    assert (ending.code, ending.status) == ("internal", 500)


async def test_a_producer_ends_its_log_also_when_the_server_ends_at_once() -> None:
    """A producer that is cancelled before its first step still seals its log."""
    store, nursery = MemoryStore(), Nursery()
    lease = await store.open("log", ALICE, ttl=TTL)

    async def produce() -> None:
        async with Logs(store).write(lease) as writer:
            await generation(Scripted([TextDelta("a"), WHOLE]), writer).run()

    nursery.start("producer", produce())
    await nursery.aclose()
    ending = (await entries(store, "log"))[-1].event
    assert isinstance(ending, Error)
    assert ending.code == "shutdown"


async def test_a_log_has_a_producer_also_when_a_former_one_ends_later_than_the_next_begins() -> None:
    """The former one still tells what it has made when the next one has taken the log over."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    nursery, gates = Nursery(), [asyncio.Event(), asyncio.Event()]

    async def produce(gate: asyncio.Event) -> None:
        await gate.wait()

    for gate in gates:
        nursery.start("log", produce(gate))
    assert len(nursery) == 2
    gates[0].set()
    await until(lambda: len(nursery) == 1)
    assert nursery.has("log")
    gates[1].set()
    assert await nursery.finished(5)
    assert not nursery.has("log")
    nursery.start("log", produce(asyncio.Event()))
    nursery.start("log", produce(gates[1]))
    await nursery.aclose()
    assert (len(nursery), complaints) == (0, [])


async def test_signs_of_life_without_words_are_no_silence_and_no_words() -> None:
    """A server may buffer a tool call, or hide its thinking."""

    class Slow:
        name = "slow"

        async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
            for _ in range(6):
                await asyncio.sleep(0.1)
                yield []
            yield [TextDelta("a")]
            for _ in range(6):
                await asyncio.sleep(0.1)
                yield []
            yield [WHOLE]

    store = MemoryStore()
    async with Logs(store).write(await store.open("log", ALICE, ttl=TTL)) as writer:
        await generation(Slow(), writer, first_token=0.4, silence=0.4).run()
    told = [entry.event for entry in await entries(store, "log")]
    assert told[1:] == [TextDelta("a"), WHOLE]


async def test_an_answer_that_outlives_its_platform_ends_as_a_shutdown() -> None:
    """A function is killed at a known time: its readers learn before that that they may ask again."""
    store = MemoryStore()
    async with Logs(store).write(await store.open("log", ALICE, ttl=TTL)) as writer:
        await generation(Scripted([TextDelta("a"), SILENCE]), writer, lifetime=0.05).run()
    told = [entry.event for entry in await entries(store, "log")]
    ending = told[-1]
    assert told[1:-1] == [TextDelta("a")]
    assert isinstance(ending, Error)
    assert (ending.code, ending.retryable, ending.status) == ("shutdown", True, 503)
