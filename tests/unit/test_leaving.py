"""An answer that its readers may leave ends some time after the last one has left, wherever they read; others go on."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from serving import until

from headwater.answers.answers import Answers, Attachment, Policy
from headwater.answers.claim import Caching
from headwater.answers.generation import Timeouts
from headwater.events import Stop, TextDelta
from headwater.log.memory import MemoryStore
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Store
from headwater.models.catalogue import Catalogue, Offer
from headwater.models.model import Model
from headwater.models.scripted import SILENCE, Scripted
from headwater.principal import LEAVES, Principal
from headwater.prompt import Message, Prompt

PROMPT = Prompt(model="", messages=[Message("user", "Hi")])
ANN, BOB = Principal("acme", "ann"), Principal("acme", "bob")
GRACE = 0.3


class Server:
    """One server's answers, with a model that says a word and then nothing more until it is closed."""

    def __init__(self, store: Store) -> None:
        self.model = Scripted([TextDelta("word"), SILENCE])
        policy = Policy(Caching(secret=b"secret"), Timeouts(unread=GRACE, retries=0))
        self.answers = Answers(lambda: store, Catalogue(Offer("scripted", "test", True, self._build)), policy)

    async def _build(self) -> Model:
        return self.model

    async def ask(self, who: Principal = ANN, *, leaves: bool = True) -> Attachment:
        return await self.answers.ask(PROMPT, who, leaves=leaves)

    @asynccontextmanager
    async def reading(self, found: Attachment, who: Principal = ANN) -> AsyncGenerator[None, None]:
        """Read the answer for as long as the context lasts, from its first word on."""
        read = asyncio.Event()

        async def read_on() -> None:
            async with aclosing(self.answers.read(found, who)) as pages:
                async for page in pages:
                    if any(isinstance(entry.event, TextDelta) for entry in page):
                        read.set()

        task = asyncio.create_task(read_on())
        await read.wait()
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def ending(self, found: Attachment) -> object:
        return (await self.answers.answer(found, ANN)).ending

    async def goes_on(self) -> bool:
        """Whether the model still answers after several times the grace."""
        await asyncio.sleep(3 * GRACE)  # a fact that must not come about
        return self.model.running == 1


@pytest.fixture
async def server() -> AsyncGenerator[Server, None]:
    server = Server(MemoryStore())
    yield server
    await server.answers.aclose()


@pytest.fixture
async def two(tmp_path: Path) -> AsyncGenerator[list[Server], None]:
    """Two servers on one file, as two processes would share it."""
    servers = [Server(SqliteStore(tmp_path / "logs.db")) for _ in range(2)]
    yield servers
    for server in reversed(servers):
        await server.answers.aclose()


async def test_it_ends_when_its_last_reader_has_left(server: Server) -> None:
    """The provider is closed, and the log says how it ended."""
    found = await server.ask()
    async with server.reading(found), server.reading(found):
        assert await server.goes_on()

    await until(lambda: server.model.running == 0, "the model was closed")
    await until(lambda: server.answers.running == 0, "the log was sealed")
    assert await server.ending(found) == Stop("disconnect")


async def test_who_comes_back_in_time_finds_it_alive(server: Server) -> None:
    """By its log or by the same question, and it then lives for as long as it is read."""
    found = await server.ask()
    async with server.reading(found):
        pass
    async with server.reading(await server.ask()):
        assert await server.goes_on()


async def test_the_gentlest_who_is_attached_wins(server: Server) -> None:
    """A chat that asked the same goes on after everybody has left."""
    found = await server.ask()
    async with server.reading(found):
        await server.ask(BOB, leaves=False)
    assert await server.goes_on()


async def test_a_stop_ends_it_as_any_other(server: Server) -> None:
    """Whoever asked need not know how; the name in the log is the subject's own."""
    found = await server.ask()
    async with server.reading(found):
        assert await server.answers.stop(found, ANN)
        ending = await server.ending(found)
    assert ending == Stop("ann")
    assert LEAVES not in msgspec.json.encode(ending).decode()


async def test_an_answer_that_is_not_to_be_left_goes_on(server: Server) -> None:
    """As every chat does: closing the tab wastes nothing."""
    async with server.reading(await server.ask(leaves=False)):
        pass
    assert await server.goes_on()


async def test_a_reader_at_another_server_keeps_it(two: list[Server]) -> None:
    """And when that one leaves, too, the server that writes it ends it."""
    writing, reading = two
    found = await writing.ask()
    async with reading.reading(await reading.ask(BOB), BOB):
        async with writing.reading(found):
            pass
        assert await writing.goes_on()

    await until(lambda: writing.model.running == 0, "the model was closed", seconds=20)
    assert await writing.ending(found) == Stop("disconnect")
    assert reading.model.prompts == []


async def test_a_chat_at_another_server_keeps_it_after_it_has_left(two: list[Server]) -> None:
    """The gentlest wins wherever it was attached."""
    writing, reading = two
    found = await writing.ask()
    async with reading.reading(await reading.ask(BOB, leaves=False), BOB), writing.reading(found):
        pass
    assert await writing.goes_on()
