"""Unknown fields of a request keep two requests apart only where the provider gets to see them."""

from typing import Any

import pytest
from fastapi import FastAPI
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from serving import chat, serving
from upstream import Upstream
from ways import KEY

import headwater
from headwater.models.by_name import sends_extra as sends_by_name
from headwater.models.langchain.model import sends_extra


async def statuses(model: Any, **settings: Any) -> list[str]:
    """The `Cache-Status` of two requests that differ in an unknown field, and of the first one again."""
    app = FastAPI()
    app.include_router(headwater.router(model, store="memory:", **settings))
    async with serving(app, lifespan=True) as client:
        answers = [
            await client.post("/api/stream/completion/chat", json=chat("Hi", top_k=top_k)) for top_k in (1, 2, 1)
        ]
    return [answer.headers["cache-status"].partition("; ttl")[0] for answer in answers]


MISS, HIT = "headwater; fwd=miss", "headwater; hit"


async def test_the_echo_model_has_one_answer_to_both() -> None:
    """The model ignores unknown fields."""
    assert await statuses("echo") == [MISS, HIT, HIT]


async def test_an_openai_compatible_provider_has_an_answer_to_each() -> None:
    """The provider gets the field, and may act on it."""
    async with Upstream() as upstream:
        found = await statuses("openai:x", openai_base_url=upstream.url)
        assert [request.body["top_k"] for request in upstream.requests] == [1, 2]
    assert found == [MISS, MISS, HIT]


async def test_a_runnable_is_judged_by_the_model_that_it_is() -> None:
    """Bindings do not matter; a chain or a graph gets the messages alone."""
    options: dict[str, Any] = {"api_key": KEY}
    assert await statuses(RunnableLambda(str), cache_as="v1") == [MISS, HIT, HIT]
    openai = ChatOpenAI(model="m", **options)
    assert sends_extra(openai)
    assert sends_extra(openai.bind(temperature=0))
    assert sends_extra(openai.with_retry())
    assert not sends_extra(openai | RunnableLambda(str))
    assert not sends_extra(FakeListChatModel(responses=["Hi"]))


@pytest.mark.parametrize(
    ("name", "sends"),
    [
        ("openai:gpt-4o-mini", True),
        ("gpt-5-pro", True),
        ("openai-completion:babble", True),
        ("deepseek:deepseek-chat", True),
        ("somebody:something", True),
        ("anthropic:claude-opus", False),
        ("claude-opus", False),
        ("Google-GenAI:gemini", False),
        ("anthropic.claude-v2:1", False),
    ],
)
def test_a_name_tells_whether_its_provider_gets_them(name: str, sends: bool) -> None:
    """Before the model is built; an unknown provider counts as one that gets them."""
    assert sends_by_name(name) is sends
