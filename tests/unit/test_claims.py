"""What one server keeps with an answer, and how another one on the same store finds it."""

import asyncio
from contextlib import aclosing

import msgspec
import pytest

from headwater.answers.answers import Answers, Policy
from headwater.answers.attachment import Attachment
from headwater.answers.claim import Caching, Claims, Wanted
from headwater.answers.recovery import kept
from headwater.cache.policy import Directives
from headwater.events import Cached, Finish, Start, TextDelta
from headwater.log.memory import MemoryStore
from headwater.log.store import Store
from headwater.models.catalogue import Catalogue, Offer
from headwater.models.model import Model
from headwater.models.scripted import Scripted
from headwater.offsets import run_of
from headwater.principal import Principal
from headwater.prompt import Message, Prompt

ASKED = "What's the capital of France?"
PROMPT = Prompt(model="", messages=[Message("user", ASKED)])
ANN = Principal("acme", "ann")
FORM = Caching(secret=b"secret", match="form")


async def build() -> Model:
    return Scripted([TextDelta("Paris"), Finish("stop")])


OFFER = Offer("scripted", "test", True, build)


def server(store: Store, caching: Caching = FORM, offer: Offer = OFFER) -> Answers:
    return Answers(lambda: store, Catalogue(offer), Policy(caching), borrowed=True)


async def told_of_the_question(answers: Answers, found: Attachment) -> Cached | None:
    """What the log keeps of the question, once the answer has ended."""
    async with asyncio.timeout(5), aclosing(answers.read(found, ANN)) as pages:
        start = (await anext(pages))[0].event
    assert isinstance(start, Start)
    await answers.aclose()
    return start.cache


async def test_a_repeated_request_finds_its_answer_on_a_server_that_has_just_started() -> None:
    """Though its tenant was purged before it was made."""
    store = MemoryStore()
    one, other = server(store), server(store)
    await one.purge(ANN.tenant)
    found = await one.ask(PROMPT, ANN)
    described = await other.opened(PROMPT, ANN, run_of(found.log))
    assert described is not None
    assert described.log == found.log
    await one.aclose()
    await other.aclose()


@pytest.mark.parametrize(
    ("caching", "offer", "directives", "question"),
    [
        (FORM, OFFER, Directives(), ASKED),
        (msgspec.structs.replace(FORM, ttl=0), OFFER, Directives(), None),
        (FORM, OFFER._replace(cacheable=False), Directives(), None),
        (FORM, OFFER, Directives(no_store=True), None),
        (FORM, OFFER, Directives(exact=True), None),
    ],
    ids=["form", "no cache", "no model for it", "no-store", "exact"],
)
async def test_a_log_keeps_its_question_only_where_the_answer_serves_other_wordings(
    caching: Caching, offer: Offer, directives: Directives, question: str | None
) -> None:
    """Nobody else is told it."""
    answers = server(MemoryStore(), caching, offer)
    told = await told_of_the_question(answers, await answers.ask(PROMPT, ANN, directives))
    assert told == (question and Cached("hit", matched=question))


async def test_a_server_that_takes_an_answer_over_before_its_first_word_keeps_the_question() -> None:
    """The one that was asked died before it had stored anything."""
    store, prompt = MemoryStore(), OFFER.addressed(PROMPT)
    recovery = kept(prompt, OFFER, ANN)
    claim, _ = await Claims(FORM).claim(store, Wanted(OFFER, prompt, ANN, recovery=recovery))
    assert claim.lease is not None
    await store.release(claim.lease)
    answers = server(store)
    found = await answers.ask(PROMPT, ANN)
    assert found.log == claim.log
    assert await told_of_the_question(answers, found) == Cached("hit", matched=ASKED)
