"""An answer that breaks off goes on in the same log, with one seam, and no word of it is doubled or missing."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.answer import Answer
from headwater.answers.answers import Answers, Policy
from headwater.answers.attachment import Attachment
from headwater.answers.claim import Caching
from headwater.answers.continuing import Continuing
from headwater.answers.generation import Timeouts
from headwater.cache.policy import Directives
from headwater.entries import Entry
from headwater.errors import CannotContinue, ModelError, ShuttingDown
from headwater.events import Error, Event, Finish, Metadata, ReasoningDelta, Stop, TextDelta, ToolCallStart, Usage
from headwater.log.memory import MemoryStore
from headwater.log.store import Store
from headwater.models.catalogue import Catalogue, Offer
from headwater.models.model import RUN, Model, Shown
from headwater.models.prices import Prices, Rates
from headwater.offsets import ORIGIN
from headwater.principal import Principal
from headwater.prompt import Message, Parameters, Prompt, Tool
from headwater.testing.contract_harness import until

PROMPT = Prompt(model="", messages=[Message("user", "Recite.")])
ANN = Principal("acme", "ann")
WORDS = [f"word{n} " for n in range(100)]
TEXT = "".join(WORDS)
RESET = ModelError("the connection was reset", code="provider_error", retryable=True)

Break = Exception | asyncio.Event | None
"""What happens at the end of a request: an error, a silence that an event ends, or an end without a reason."""


class Reciter:
    """A model that knows its text, and breaks off where it is told to; it goes on by its own text."""

    def __init__(self, *breaks: tuple[int, Break], able: bool = True, name: str = "reciter") -> None:
        self.name = name
        self.asked: list[Shown | None] = []
        self.able = able
        self._breaks = list(breaks)

    def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        return self._recite(None)

    def continues(self, prompt: Prompt) -> bool:
        return self.able

    def go_on(self, prompt: Prompt, shown: Shown) -> AsyncGenerator[Sequence[Event], None]:
        return self._recite(shown)

    async def _recite(self, shown: Shown | None) -> AsyncGenerator[Sequence[Event], None]:
        self.asked.append(shown)
        begin = len(shown.text) if shown else 0
        assert shown is None or TEXT.startswith(shown.text)
        if shown is not None:
            yield []
            yield [ReasoningDelta("Where was I?")]
        upto, broken = self._breaks.pop(0) if self._breaks else (len(WORDS), self)
        if isinstance(broken, CannotContinue):
            raise broken
        end = sum(map(len, WORDS[:upto]))
        for place in range(begin, end, 6):
            yield [TextDelta(TEXT[place : min(place + 6, end)])]
        match broken:
            case Exception():
                raise broken
            case asyncio.Event():
                await broken.wait()
            case None:
                pass
            case _:
                yield [Finish("stop", Usage(7, 100))]


class Server:
    """One server's answers on a store."""

    def __init__(
        self,
        model: Model,
        store: Store | None = None,
        continuing: Continuing = Continuing(),  # noqa: B008 - immutable
        fallbacks: Sequence[Model] = (),
        **limits: float,
    ) -> None:
        self.store, timeouts, catalogue = store or MemoryStore(), Timeouts(**limits, retries=0), Catalogue(offer(model))
        catalogue.fallbacks = [offer(each) for each in fallbacks]
        catalogue.prices = Prices({"spare": Rates(input=1e6, output=1e6)}) if fallbacks else None
        policy = Policy(Caching(secret=b"secret"), timeouts, continuing)
        self.answers = Answers(lambda: self.store, catalogue, policy, borrowed=True)

    async def ask(self, prompt: Prompt = PROMPT, directives: Directives = Directives()) -> Attachment:  # noqa: B008
        return await self.answers.ask(prompt, ANN, directives)

    async def ended_in_mid_answer(self) -> Attachment:
        """An answer of which 40 entries were read when the server shut down."""
        found, seen = await self.ask(), 0
        async with aclosing(self.answers.read(found, ANN)) as pages:
            while seen <= 40:
                seen += len(await anext(pages))
        await self.answers.end()
        return found

    async def answer(self, prompt: Prompt = PROMPT) -> Answer:
        return await self.whole(await self.ask(prompt))

    async def whole(self, found: Attachment) -> Answer:
        async with asyncio.timeout(5), aclosing(self.answers.read(found, ANN)) as pages:
            async for _ in pages:
                pass
        return await self.answers.answer(found, ANN)


def offer(model: Model) -> Offer:
    async def build() -> Model:
        return model

    return Offer(model.name, "test", True, build)


@pytest.mark.parametrize(
    ("broken", "cause"), [(RESET, "provider"), (None, "truncated"), (asyncio.Event(), "stalled")], ids=str
)
async def test_a_provider_that_breaks_off(broken: Break, cause: str) -> None:
    """A reset, an end without a reason and a silence are mended alike: the whole text, one seam, true usage."""
    model = Reciter((40, broken))
    server = Server(model, silence=0.1)
    answer = await server.answer()
    assert answer.text == TEXT
    assert not answer.reasoning
    assert [seam.cause for seam in answer.continued] == [cause]
    seam = answer.continued[0]
    assert (seam.way, seam.attempt, seam.model, seam.rewind) == ("prefill", 1, "", "")
    assert answer.ending == Finish("stop", Usage(7, 100, {"continued": 1, "uncounted": True}))
    assert [shown and shown.text for shown in model.asked] == [None, "".join(WORDS[:40])]
    again = await server.ask()
    assert again.status.startswith("headwater; hit")


@given(cuts=st.lists(st.integers(1, len(WORDS) - 1), max_size=2, unique=True).map(sorted))
def test_cuts_anywhere(cuts: list[int]) -> None:
    """Wherever the provider breaks off, and however often within the limit, the text is the uncut one."""

    async def run() -> None:
        breaks = [(cut, RESET) for cut in cuts]
        answer = await Server(Reciter(*breaks)).answer()
        made = len(answer.continued)
        assert answer.text == TEXT or made <= 1  # a second break at once ends it
        assert TEXT.startswith(answer.text)
        assert isinstance(answer.ending, Finish) == (answer.text == TEXT)

    asyncio.run(run())


@pytest.mark.parametrize("places", [(40, 70, 95), (40, 42)], ids=["too often", "at once"])
async def test_a_model_that_breaks_off_again_and_again(places: Sequence[int]) -> None:
    """After two seams, or without progress, the answer ends as it broke off, and says how far it came."""
    model = Reciter(*((place, RESET) for place in places))
    answer = await Server(model).answer()
    assert isinstance(answer.ending, Error)
    assert answer.ending.code == "provider_error"
    assert answer.text == "".join(WORDS[: places[-1]])
    assert len(answer.continued) == len(places) - 1 == len(model.asked) - 1


async def test_a_provider_that_does_not_go_on() -> None:
    """The reader is told the first error and not why the second request was refused; no seam is left."""
    answer = await Server(Reciter((40, RESET), (0, CannotContinue("HTTP 400")))).answer()
    assert isinstance(answer.ending, Error)
    assert "reset" in answer.ending.message
    assert (answer.continued, answer.text) == ((), "".join(WORDS[:40]))


TOOL = Tool("look_up")


@pytest.mark.parametrize(
    ("prompt", "continuing", "able", "broken"),
    [
        (PROMPT, Continuing("off"), True, RESET),
        (PROMPT, Continuing(), False, RESET),
        (msgspec.structs.replace(PROMPT, tools=[TOOL]), Continuing(), True, RESET),
        (
            msgspec.structs.replace(PROMPT, extra={"response_format": {"type": "json_object"}}),
            Continuing(),
            True,
            RESET,
        ),
        (PROMPT, Continuing(), True, ModelError("refused", code="content_filter")),
    ],
    ids=["off", "a model that cannot", "tools", "structured", "a filter"],
)
async def test_what_is_not_continued(prompt: Prompt, continuing: Continuing, able: bool, broken: Exception) -> None:
    """Such an answer ends where it broke off, as it always did, and the model is asked once."""
    model = Reciter((40, broken), able=able)
    answer = await Server(model, continuing=continuing).answer(prompt)
    assert isinstance(answer.ending, Error)
    assert (answer.text, answer.continued, len(model.asked)) == ("".join(WORDS[:40]), (), 1)


class Steps(Reciter):
    """A model whose first request plays these events and breaks off."""

    def __init__(self, *events: Event) -> None:
        super().__init__()
        self.events = events

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        self.asked.append(None)
        events, self.events = self.events, ()
        if events:
            yield events
            raise RESET
        async with aclosing(self._recite(None)) as batches:
            async for batch in batches:
                yield batch


async def test_a_tool_call_that_is_cut() -> None:
    """Its arguments cannot be joined, so the answer ends there."""
    answer = await Server(Steps(ToolCallStart("1", "look_up"))).answer()
    assert isinstance(answer.ending, Error)
    assert len(answer.tools) == 1


async def test_thoughts_before_the_first_word() -> None:
    """A model that broke off while it thought begins anew: no text is doubled, and the seam says `restart`."""
    answer = await Server(Steps(ReasoningDelta("Hm. "))).answer()
    assert (answer.text, answer.reasoning) == (TEXT, "Hm. ")
    assert [seam.way for seam in answer.continued] == ["restart"]


async def test_another_model() -> None:
    """A fall-back model goes on or begins, and is not cached; what a model that broke off has cost is not known."""
    for place in (40, 0):
        server = Server(Reciter((place, RESET), able=False), fallbacks=[Reciter(name="spare")])
        answer = await server.answer()
        assert answer.text == TEXT
        assert [seam.model for seam in answer.continued] == ["spare"]
        assert not getattr(answer.ending, "replayable", True)
        assert (answer.usage and answer.usage.cost) == (None if place else 107.0)
        assert (await server.ask()).age is None


async def test_a_stop_between_the_requests() -> None:
    """A stop ends the answer, also while the second request has said nothing yet."""
    thinking = asyncio.Event()
    model = Reciter((40, RESET), (40, thinking))
    server = Server(model)
    found = await server.ask()
    await until(lambda: len(model.asked) == 2)
    assert await server.answers.stop(found, ANN)
    answer = await server.whole(found)
    assert answer.ending == Stop("ann")
    assert answer.text == "".join(WORDS[:40])


async def test_a_server_that_shuts_down() -> None:
    """A second server goes on with its answer at once; its own readers are told to come back, and miss nothing."""
    store = MemoryStore()
    first, second = Server(Reciter((40, asyncio.Event())), store), Server(Reciter(), store)
    found = await first.ask()
    await second.answers.prepare()
    after = ORIGIN
    seen: list[Entry] = []
    await second.answers.find(found.log, ANN)
    reading = asyncio.create_task(second.whole(found))

    async def read() -> None:
        nonlocal after
        async with aclosing(first.answers.read(found, ANN)) as pages:
            async for page in pages:
                seen.extend(page)
                after = page[-1].offset

    here = asyncio.create_task(read())
    await until(lambda: len(seen) > 40)
    await first.answers.end()
    with pytest.raises(ShuttingDown):
        await here
    answer = await reading
    assert answer.text == TEXT
    assert [(seam.cause, seam.rewind) for seam in answer.continued] == [("server", str(after))]
    assert answer.offset.epoch == 2
    async with aclosing(second.answers.read(found, ANN, after)) as pages:
        seen += [entry async for page in pages for entry in page]
    assert "".join(entry.event.text for entry in seen if isinstance(entry.event, TextDelta)) == TEXT
    await second.answers.aclose()


class Forgetful(Reciter):
    """A model whose provider says that it keeps the run, and then has it no more."""

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        yield [Metadata({RUN: "run-1"})]
        async with aclosing(self._recite(None)) as batches:
            async for batch in batches:
                yield batch

    async def reattach(self, run: str, prompt: Prompt, shown: Shown) -> AsyncGenerator[Sequence[Event], None]:
        yield []
        raise CannotContinue("the provider has no such run")

    async def cancel(self, run: str) -> None:
        pass


async def test_a_successor_whose_first_way_is_refused() -> None:
    """It takes the next way, and a further seam says so; who opened the log and when stays known."""
    store = MemoryStore()
    first = Server(Forgetful((40, asyncio.Event())), store)
    found = await first.ended_in_mid_answer()
    second = Server(Forgetful(), store)
    await second.answers.find(found.log, ANN)
    answer = await second.whole(found)
    assert (answer.text, [seam.way for seam in answer.continued]) == (TEXT, ["reattach", "prefill"])
    assert isinstance(answer.ending, Finish)
    await second.answers.aclose()


class Unprepared(Reciter):
    """A model that does not know whether it can go on before it is prepared, such as one of a LangChain class."""

    def __init__(self) -> None:
        super().__init__(able=False)

    async def prepare(self) -> None:
        self.able = True


async def test_a_server_that_has_just_been_started() -> None:
    """It goes on with what its predecessor left also when it has not asked its model anything yet."""
    store = MemoryStore()
    first = Server(Reciter((40, asyncio.Event())), store)
    found = await first.ended_in_mid_answer()
    second = Server(Unprepared(), store)
    await second.answers.find(found.log, ANN)
    answer = await second.whole(found)
    assert (answer.text, [seam.way for seam in answer.continued]) == (TEXT, ["prefill"])
    await second.answers.aclose()


async def test_a_question_that_kills_its_servers() -> None:
    """It walks through two successors and not through the whole fleet; the answer then ends `lost`."""
    store, asked = MemoryStore(), 0
    found: Attachment | None = None
    for _ in range(4):
        model = Reciter((40, asyncio.Event()), (70, asyncio.Event()))
        server = Server(model, store)
        await server.answers.prepare()
        found = found or await server.ask()
        log = found.log

        async def settled(server: Server = server, log: str = log, model: Reciter = model) -> bool:
            return bool(model.asked) or (await server.answers.find(log, ANN)).state != "open"

        await until(settled)
        asked += len(model.asked)
        await server.answers.end()
    assert found is not None
    assert asked <= 3
    server = Server(Reciter(), store)
    answer = await server.whole(found)
    assert isinstance(answer.ending, Error)
    assert answer.ending.code == "lost"
    await server.answers.aclose()


@pytest.mark.parametrize("private", [True, False])
async def test_a_prompt_that_must_not_be_kept(private: bool) -> None:
    """With `no-store` nothing of the question is kept beside the log, so its server's end ends the answer."""
    store = MemoryStore()
    server = Server(Reciter((40, asyncio.Event())), store)
    found = await server.ask(directives=Directives(no_store=private))
    await until(lambda: server.answers.running == 1)
    log = store._logs[found.log]  # pyright: ignore[reportPrivateUsage]
    assert (log.recovery is None) == private
    await server.answers.aclose()
    assert log.state == ("failed" if private else "open")


async def test_a_limit_of_tokens_counts_for_the_whole_answer() -> None:
    """The model is told how much was shown."""
    model = Reciter((40, RESET))
    await Server(model).answer(msgspec.structs.replace(PROMPT, parameters=Parameters(max_tokens=100)))
    shown = model.asked[1]
    assert shown is not None
    assert shown.pieces == -(-len("".join(WORDS[:40])) // 6)
