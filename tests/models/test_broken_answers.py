"""An answer whose provider breaks off, over a real socket: one text, one seam, whatever the break and its place."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from test_going_on import TEXT, TOKENS
from upstream import Upstream
from ways import HELLO, KEY, fast_chat

from headwater.answer import Answer
from headwater.answers.answers import Answers, Policy
from headwater.answers.claim import Caching
from headwater.answers.generation import Timeouts
from headwater.events import Error
from headwater.log.memory import MemoryStore
from headwater.models.catalogue import Catalogue, Offer
from headwater.models.model import Model
from headwater.models.openai.connection import Account
from headwater.models.openai.model import OpenAIModel
from headwater.principal import Principal

ANN = Principal("acme", "ann")
FAULTS: list[dict[str, Any]] = [{"cut": "rst"}, {"cut": "eof"}, {"fault": "error_after"}, {"fault": "silent_after"}]


def offer(model: Model) -> Offer:
    async def build() -> Model:
        return model

    return Offer(model.name, "test", True, build)


async def answered(model: Model, *fallbacks: Model) -> Answer:
    policy = Policy(Caching(secret=b"secret"), Timeouts(silence=0.1, retries=0))
    catalogue = Catalogue(offer(model))
    catalogue.fallbacks = [offer(each) for each in fallbacks]
    answers = Answers(MemoryStore, catalogue, policy)
    async with asyncio.timeout(20), aclosing(answers):
        found = await answers.ask(HELLO, ANN)
        async with aclosing(answers.read(found, ANN)) as pages:
            async for _ in pages:
                pass
        return await answers.answer(found, ANN)


@pytest.mark.parametrize("how", FAULTS, ids=str)
async def test_a_server_that_continues_mends_its_own_breaks(how: dict[str, Any]) -> None:
    """It is asked for the answer, whether it continues, and for the rest; in the end nothing is doubled or missing."""
    for cut in range(1, len(TOKENS)):
        fault: dict[str, Any] = {
            how.get("fault", "cut_after"): cut,
            "cut": how.get("cut", "rst"),
            "error": {"code": "server_error"},
        }
        async with Upstream(tokens=TOKENS, continues="flags", faulty=1, **fault) as upstream:
            answer = await answered(OpenAIModel("m", "chat", Account(upstream.url, KEY)))
            assert (answer.text, len(answer.continued), upstream.calls) == (TEXT, 1, 3)


async def test_a_server_that_begins_anew_ends_the_answer_as_broken_off() -> None:
    async with Upstream(tokens=TOKENS, cut_after=9, faulty=1) as upstream:
        answer = await answered(OpenAIModel("m", "chat", Account(upstream.url, KEY)))
        assert isinstance(answer.ending, Error)
        assert answer.ending.code == "provider_cut"
        assert (answer.text, answer.continued) == ("".join(TOKENS[:9]), ())


async def test_another_model_goes_on_that_nobody_has_used_before() -> None:
    """What it can do is known once it has been prepared."""
    async with (
        Upstream(tokens=TOKENS, cut_after=9) as broken,
        Upstream(tokens=TOKENS, continues="flags") as whole,
    ):
        model = OpenAIModel("m", "chat", Account(broken.url, KEY, prefill=["off"]))
        answer = await answered(model, fast_chat(whole))
        assert (answer.text, [seam.model for seam in answer.continued]) == (TEXT, ["fast"])
