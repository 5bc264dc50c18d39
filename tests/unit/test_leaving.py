"""An answer that its readers may leave ends some time after the last one has left, wherever they read; others go on."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from redis_servers import Server as RedisServer
from redis_servers import engines, serving
from serving import until

from headwater.answers.answers import Answers, Policy
from headwater.answers.attachment import Attachment
from headwater.answers.claim import Caching
from headwater.answers.generation import Timeouts
from headwater.events import Finish, Stop, TextDelta
from headwater.log.memory import MemoryStore
from headwater.log.redis.store import RedisStore
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Store
from headwater.models.catalogue import Catalogue, Offer
from headwater.models.model import Model
from headwater.models.scripted import SILENCE, Scripted, Step
from headwater.principal import LEAVES, Principal
from headwater.prompt import Message, Prompt

PROMPT = Prompt(model="", messages=[Message("user", "Hi")])
ANN, BOB = Principal("acme", "ann"), Principal("acme", "bob")
GRACE = 0.3


class Server:
    """One server's answers, with a model that says a word and then nothing more until it is closed."""

    def __init__(self, store: Store, *then: Step) -> None:
        self.model = Scripted([TextDelta("word"), *(then or [SILENCE])])
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
        """The ending, once it is stored."""
        async with asyncio.timeout(5), aclosing(self.answers.read(found, ANN)) as pages:
            return [entry async for page in pages for entry in page][-1].event

    async def goes_on(self) -> bool:
        """Whether the model still answers after several times the grace."""
        await asyncio.sleep(3 * GRACE)  # a fact that must not come about
        return self.model.running == 1


@pytest.fixture
async def server() -> AsyncGenerator[Server, None]:
    server = Server(MemoryStore())
    yield server
    await server.answers.aclose()


@pytest.fixture(scope="module")
def valkey() -> Generator[RedisServer, None, None]:
    with serving(engines()[0]) as valkey:
        yield valkey


@pytest.fixture(params=["sqlite", "valkey"])
async def two(
    request: pytest.FixtureRequest, tmp_path: Path, valkey: RedisServer
) -> AsyncGenerator[list[Server], None]:
    """Two servers on one file or one Valkey, as two processes would share it."""
    valkey.command("FLUSHALL")
    sqlite = request.param == "sqlite"
    servers = [Server(SqliteStore(tmp_path / "logs.db") if sqlite else RedisStore(valkey.url)) for _ in range(2)]
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


async def test_a_model_that_ends_while_the_server_looks_for_readers_is_not_overlooked() -> None:
    """The ending is stored at once, although the store was slow to say that somebody else wants the answer."""
    more = asyncio.Event()

    class Slow(MemoryStore):
        async def stop(self, log: str, subject: str) -> bool:
            more.set()
            await until(lambda: server.model.running == 0, "the model has ended")
            return await super().stop(log, subject)

    server = Server(Slow(), more, Finish("stop"))
    found = await server.ask()
    await server.ask(BOB, leaves=False)
    await until(lambda: server.answers.running == 0, "the log was sealed")
    assert await server.ending(found) == Finish("stop")
    await server.answers.aclose()
