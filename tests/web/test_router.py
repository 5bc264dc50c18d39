"""Headwater's routes in somebody else's app."""

import importlib.util
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from serving import chat, parse, serving, text_of

import headwater

EXAMPLE = Path(__file__).parents[2] / "examples" / "your_app.py"


async def test_the_example_in_ten_lines_streams_caches_and_resumes_under_its_prefix() -> None:
    """`Location` leads through the app's own prefix, and its lifespan opens and closes what the routes need."""
    spec = importlib.util.spec_from_file_location("your_app", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    async with serving(module.app, lifespan=True) as client:
        first = await client.post("/llm/api/stream/completion/chat", json=chat("ahoy"))
        second = await client.post("/llm/api/stream/completion/chat", json=chat("ahoy"))
        resumed = await client.get(second.headers["location"], headers={"last-event-id": "1-1"})

    assert text_of(parse(first.content)).endswith("You said: ahoy")
    assert first.headers["location"].startswith("/llm/api/streams/")
    assert second.headers["cache-status"].startswith("headwater; hit")
    assert text_of(parse(resumed.content)) == text_of(parse(first.content))


async def test_the_description_of_the_api_names_every_operation_once() -> None:
    """Clients are generated from it, a function for each name; FastAPI warns of those that are the same."""
    app = FastAPI()
    app.include_router(headwater.router(RunnableLambda(str), store="memory:"))
    async with serving(app, lifespan=True) as client:
        described = (await client.get("/openapi.json")).json()

    names = [operation["operationId"] for path in described["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names)) > 5


async def test_a_runnable_is_cached_only_when_it_is_named() -> None:
    """It may have side effects; only its author knows."""
    calls: list[Any] = []

    def shout(messages: list[Any]) -> str:
        calls.append(messages)
        return str(messages[-1].content).upper()

    for cache_as, expected in ((None, 2), ("v1", 1)):
        calls.clear()
        app = FastAPI()
        app.include_router(headwater.router(RunnableLambda(shout), cache_as=cache_as, store="memory:"))
        async with serving(app, lifespan=True) as client:
            for _ in range(2):
                answer = await client.post("/api/stream/completion/chat", json=chat("hi"))
                assert text_of(parse(answer.content)) == "HI"
        assert len(calls) == expected


async def test_a_chat_model_of_your_own_streams() -> None:
    """Any LangChain chat model will do; one that never says why it ended is reported as truncated, not as whole."""
    app = FastAPI()
    model = GenericFakeChatModel(messages=iter([AIMessage("one two"), AIMessage("three")]))
    app.include_router(headwater.router(model, store="memory:"))
    async with serving(app, lifespan=True) as client:
        told = parse((await client.post("/api/stream/completion/chat", json=chat())).content)

    assert text_of(told) == "one two"
    assert (told[-1]["type"], told[-1]["code"]) == ("error", "truncated")
