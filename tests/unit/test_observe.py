"""Observers: what they are notified of, and that they cannot harm an answer."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from serving import chat, headwater, post_chat

from headwater.answer import Answer
from headwater.answers.generation import Timeouts
from headwater.entries import Entry
from headwater.errors import Fenced, ModelError, StoreError
from headwater.events import Error, Finish, Metadata, TextDelta
from headwater.log.memory import MemoryStore
from headwater.log.store import Flush, Lease, Receipt
from headwater.models.scripted import SILENCE, Scripted
from headwater.observe import Observer, Observers, OnFinish, Request

HELLO = Scripted([Metadata({"fitted": {}}), TextDelta("Hel"), TextDelta("lo"), Finish("stop")])


class Notes(Observer):
    """Writes down what it is notified of, in order."""

    def __init__(self) -> None:
        self.facts: list[Any] = []
        self.left = asyncio.Event()

    def claimed(self, request: Request) -> None:
        self.facts.append(("claimed", request.outcome))

    def first_token(self, request: Request, seconds: float) -> None:
        self.facts.append("first token")

    def retried(self, request: Request, error: Exception, wait: float) -> None:
        self.facts.append(("retried", str(error), wait))

    async def ended(self, request: Request, answer: Answer) -> None:
        self.facts.append(("ended", answer.state, answer.text))

    def reader_came(self, log: str, dialect: str) -> None:
        self.facts.append(("came", dialect))

    def reader_left(self, log: str, dialect: str) -> None:
        self.facts.append(("left", dialect))
        self.left.set()


async def test_a_miss_is_reported_from_its_claim_to_its_ending() -> None:
    """A metadata event is no token; the reader is reported beside the answer."""
    notes = Notes()
    async with headwater(HELLO, observers=[notes]) as server:
        await post_chat(server.client)

    answer = [fact for fact in notes.facts if fact not in (("came", "native"), ("left", "native"))]
    assert answer == [("claimed", "miss"), "first token", ("ended", "finished", "Hello")]
    assert notes.facts.count(("came", "native")) == notes.facts.count(("left", "native")) == 1


async def test_a_first_token_that_comes_together_with_the_ending_is_reported() -> None:
    """A provider that does not stream sends everything in one batch."""
    notes = Notes()
    async with headwater(Scripted([[TextDelta("all"), Finish("stop")]]), observers=[notes]) as server:
        await post_chat(server.client)

    assert "first token" in notes.facts


async def test_each_way_to_meet_the_cache_has_its_name() -> None:
    """A hit, a request that skips the cache, and one that joins an answer under way."""
    notes = Notes()
    async with headwater(HELLO, observers=[notes]) as server:
        for words in ("", "", "no-cache", "no-store"):
            await post_chat(server.client, **{"cache-control": words})
    live = Notes()
    async with headwater(Scripted([TextDelta("a"), SILENCE]), observers=[live]) as server:
        async with _streams(server.client, 2):
            pass

    assert [fact[1] for fact in notes.facts if fact[0] == "claimed"] == ["miss", "hit", "bypass", "bypass"]
    assert [fact[1] for fact in live.facts if fact[0] == "claimed"] == ["miss", "joined"]


async def test_flushes_are_reported_with_their_entries() -> None:
    """All entries of the log are in one of them, the ending included."""
    flushes: list[int] = []

    class Flushes(Observer):
        def flushed(self, log: str, entries: int, seconds: float) -> None:
            flushes.append(entries)

    async with headwater(HELLO, observers=[Flushes()]) as server:
        await post_chat(server.client)

    assert sum(flushes) == 5


async def test_a_store_that_fails_is_reported_with_its_error() -> None:
    """Once its writer has given up; the answer ends with the error that its readers get."""
    failures: list[str] = []

    class Failures(Notes):
        def store_failed(self, log: str, error: Exception) -> None:
            failures.append(str(error))

    class Failing(MemoryStore):
        async def append(self, entries: Sequence[Entry], lease: Lease) -> Receipt:
            raise StoreError("the disk is full")

        async def seal(self, entries: Sequence[Entry], lease: Lease) -> None:
            raise StoreError("the disk is full")

    notes = Failures()
    store = Failing()
    store.flush = Flush(retry_for=0.1)
    async with headwater(HELLO, store, observers=[notes]) as server:
        await post_chat(server.client)

    assert failures == ["the disk is full"]
    assert ("ended", "failed", "Hello") in notes.facts


async def test_a_retry_is_reported_with_its_reason_and_its_wait() -> None:
    """Before each further attempt."""
    notes = Notes()
    busy = Scripted([ModelError("busy", retryable=True, retry_after=0.01)])
    async with headwater(busy, observers=[notes], timeouts=Timeouts(retries=2)) as server:
        await post_chat(server.client)

    assert [fact for fact in notes.facts if fact[0] == "retried"] == [("retried", "busy", 0.01)] * 2


async def test_an_answer_that_is_ended_by_the_shutdown_is_reported() -> None:
    """A hook that stores conversations needs every ending."""
    notes = Notes()
    async with headwater(Scripted([TextDelta("a"), SILENCE]), observers=[notes]) as server:
        async with _streams(server.client, 1):
            pass

    assert notes.facts[-1] == ("ended", "failed", "a")


async def test_an_answer_that_another_process_took_over_is_reported_as_lost() -> None:
    """The writer is fenced off: observers get the answer that local readers saw last."""
    notes = Notes()

    class Stolen(MemoryStore):
        async def append(self, entries: Sequence[Entry], lease: Lease) -> Receipt:
            raise Fenced("taken over")

        async def seal(self, entries: Sequence[Entry], lease: Lease) -> None:
            raise Fenced("taken over")

    async with headwater(Scripted([TextDelta("a"), Finish("stop")]), Stolen(), observers=[notes]) as server:
        async with server.client.stream("POST", "/api/stream/completion/chat", json=chat()):
            await server.answers.drained(5)

    assert ("ended", "lost", "a") in notes.facts


async def test_on_finish_is_an_observer_of_endings() -> None:
    """It is awaited with the whole answer: state, text, usage and timing."""
    answers: list[Answer] = []

    async def keep(answer: Answer) -> None:
        answers.append(answer)

    failing = Scripted([TextDelta("par"), ModelError("cut", code="cut")])
    for model in (HELLO, failing):
        async with headwater(model, observers=[OnFinish(keep)]) as server:
            await post_chat(server.client)

    assert [(a.state, a.text, a.model) for a in answers] == [
        ("finished", "Hello", "scripted"),
        ("failed", "par", "scripted"),
    ]
    assert isinstance(answers[1].ending, Error)
    assert answers[0].timing.duration is not None


async def test_an_observer_that_raises_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Not the answer, not the other observers; the log names it."""

    class Broken(Observer):
        def claimed(self, request: Request) -> None:
            raise RuntimeError("no")

        async def ended(self, request: Request, answer: Answer) -> None:
            raise StoreError("no")

    notes = Notes()
    async with headwater(HELLO, observers=[Broken(), notes]) as server:
        response = await post_chat(server.client)

    assert response.status_code == 200
    assert ("ended", "finished", "Hello") in notes.facts
    assert [record.message for record in caplog.records] == ["observer Broken failed"] * 2


async def test_an_observer_that_hangs_over_an_ending_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    """The wait for it has a limit, and the next observer is notified all the same."""

    class Hanging(Observer):
        async def ended(self, request: Request, answer: Answer) -> None:
            await asyncio.Event().wait()

    notes = Notes()
    request: Any = None
    await Observers([Hanging(), notes], limit=0.01).ended(request, Answer())

    assert notes.facts == [("ended", "open", "")]
    assert "observer Hanging took more than 0.01 s over an ending" in caplog.text


@asynccontextmanager
async def _streams(client: Any, count: int) -> AsyncGenerator[None]:
    """So many clients of one answer at once, each of which has received some of it."""
    if count == 0:
        yield
        return
    async with client.stream("POST", "/api/stream/completion/chat", json=chat()) as response:
        async for _ in response.aiter_raw():
            break
        async with _streams(client, count - 1):
            yield
