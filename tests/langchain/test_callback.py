"""`StreamCallback`: a chain in a route of one's own, streamed from a log."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from langchain_openai import OpenAI
from serving import frames, parse, serving, text_of
from upstream import Upstream

import headwater
from headwater.errors import Unsupported
from headwater.langchain import StreamCallback


@asynccontextmanager
async def app(chain: Any, *, streams: bool = False) -> AsyncGenerator[httpx.AsyncClient]:
    """An app with a route that streams this chain."""
    routes = headwater.router("echo", store="memory:")
    made = FastAPI()
    made.include_router(routes, prefix="/llm")

    @made.post("/ask")
    async def ask(request: Request) -> Any:  # pyright: ignore[reportUnusedFunction]
        callback = StreamCallback(routes)
        config: Any = {"callbacks": [callback]}
        work = chain.astream("Hello", config) if streams else chain.ainvoke("Hello", config)
        return await callback.respond(request, work)

    async with serving(made, lifespan=True) as client:
        yield client


@pytest.mark.parametrize("streams", [False, True])
async def test_a_chain_streams_its_tokens_and_can_be_read_again(bare: Any, upstream: Upstream, streams: bool):
    """Whether it is invoked or streamed; as events, as text and as JSON."""
    async with app(bare | StrOutputParser(), streams=streams) as client:
        response = await client.post("/ask")
        found = parse(response.content)
        assert [frame["text"] for frame in found if frame["type"] == "text-delta"] == ["a", "b", "c"]
        assert (found[-1]["type"], found[-1]["reason"]) == ("finish", "stop")
        assert response.headers["location"].startswith("/llm/api/streams/")
        rest = await client.get(response.headers["location"], headers={"last-event-id": str(found[-2].id)})
        assert [frame["type"] for frame in parse(rest.content)] == ["finish"]
        assert (await client.post("/ask", headers={"accept": "text/plain"})).text == "abc"
        assert (await client.post("/ask", headers={"accept": "application/json"})).json()["text"] == "abc"
    assert upstream.calls == 3, "a chain may have side effects, and is never replayed to another request"


async def test_tokens_come_as_the_model_says_them(bare: Any, upstream: Upstream):
    upstream.gated = True
    upstream.release()
    async with app(bare) as client, client.stream("POST", "/ask") as response:
        texts: list[str] = []
        async for frame in frames(response):
            if frame["type"] == "text-delta":
                texts.append(frame["text"])
                upstream.release()
        assert texts == ["a", "b", "c"]


async def test_models_and_tools_in_any_order_are_told(bare: Any, options: dict[str, Any], upstream: Upstream):
    """A completion model, one that cannot stream, a tool, and a chat model that blocks a thread."""
    from langchain_core.tools import tool

    @tool
    def look(city: str) -> str:
        """Look at the sky."""
        return f"rain in {city}"

    def blocks(text: str) -> Any:
        return bare.invoke(text)

    async def chain(question: str) -> str:
        call: Any = {"name": "look", "args": {"city": "Rome"}, "id": "c1", "type": "tool_call"}
        upstream.tool_calls, upstream.finish = [("c1", "look", ['{"city": "Rome"}'])], "tool_calls"
        await bare.ainvoke(question)
        await cast("Any", look).ainvoke(call)
        upstream.tool_calls, upstream.finish = (), "stop"
        await OpenAI(model="babble", **options).ainvoke(question)
        await FakeListLLM(responses=["whole"]).ainvoke(question)
        return (await cast("Any", RunnableLambda(blocks)).ainvoke(question)).text

    async with app(RunnableLambda(chain)) as client:
        found = parse((await client.post("/ask")).content)
    assert text_of(found) == "abcabcwholeabc"
    kinds = [frame["type"] for frame in found if frame["type"].startswith("tool")]
    assert kinds == ["tool-call-start", "tool-call-delta", "tool-call-end", "tool-result"]
    assert found[-1]["type"] == "finish"


async def test_the_error_of_a_chain_ends_its_log(bare: Any, upstream: Upstream):
    """In the middle of an answer as an event, before its first token as a failed request; it runs once."""

    async def fail(_: Any) -> Any:
        raise ValueError("no such table")

    async with app(bare | RunnableLambda(fail)) as client:
        found = parse((await client.post("/ask")).content)
        assert text_of(found) == "abc"
        assert found[-1]["type"] == "error"
        assert found[-1]["retryable"] is False
    async with app(RunnableLambda(fail)) as client:
        assert (await client.post("/ask")).status_code == 502
    upstream.status = 503
    async with app(bare) as client:
        assert (await client.post("/ask")).status_code == 502
    assert upstream.calls == 2


async def test_a_stop_ends_the_chain(bare: Any, upstream: Upstream):
    upstream.gated = True
    upstream.release()
    ended = asyncio.Event()

    async def chain(question: str) -> Any:
        try:
            return await bare.ainvoke(question)
        finally:
            ended.set()

    async with app(RunnableLambda(chain)) as client, client.stream("POST", "/ask") as response:
        kinds: list[str] = []
        async for frame in frames(response):
            kinds.append(frame["type"])
            if frame["type"] == "text-delta":
                stopped = await client.post(f"{response.headers['location']}/stop")
                assert stopped.json()["state"] == "stopped"
        assert kinds[-1] == "stop"
        await asyncio.wait_for(ended.wait(), 5)
        await asyncio.wait_for((await upstream.received()).closed.wait(), 5)


async def test_a_part_that_blocks_a_thread_ends_with_its_next_token_after_a_stop(bare: Any, upstream: Upstream):
    """A thread cannot be cancelled: the callback raises in it."""
    upstream.gated = True
    upstream.release()
    raised: list[BaseException] = []
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Ears(BaseCallbackHandler):
        def on_llm_error(self, error: BaseException, **_: Any) -> None:
            raised.append(error)
            loop.call_soon_threadsafe(ended.set)

    def chain(text: str, config: Any) -> Any:
        return bare.invoke(text, {"callbacks": [*config["callbacks"].handlers, Ears()]})

    async with app(RunnableLambda(chain)) as client, client.stream("POST", "/ask") as response:
        async for frame in frames(response):
            if frame["type"] == "text-delta":
                await client.post(f"{response.headers['location']}/stop")
        upstream.release(2)
        await asyncio.wait_for(ended.wait(), 5)
    assert [type(error).__name__ for error in raised] == ["Stopped"]


async def test_the_chain_goes_on_when_its_reader_leaves(bare: Any, upstream: Upstream):
    upstream.gated = True
    upstream.release()
    async with app(bare) as client:
        async with client.stream("POST", "/ask") as response:
            async for frame in frames(response):
                if frame["type"] == "text-delta":
                    break
        upstream.release(2)
        assert text_of(parse((await client.get(response.headers["location"])).content)) == "abc"


async def test_a_route_may_answer_with_the_place_of_the_log(bare: Any):
    routes = headwater.router("echo", store="memory:")
    made = FastAPI()
    made.include_router(routes)

    @made.post("/ask")
    async def ask(request: Request) -> str:  # pyright: ignore[reportUnusedFunction]
        callback = StreamCallback(routes)
        return await callback.start(request, bare.ainvoke("Hello", {"callbacks": [callback]}))

    async with serving(made, lifespan=True) as client:
        assert text_of(parse((await client.get((await client.post("/ask")).json())).content)) == "abc"


async def test_an_app_without_the_routes_and_routes_of_others_are_named(bare: Any):
    with pytest.raises(Unsupported, match=r"what headwater\.router"):
        StreamCallback(APIRouter())
    callback = StreamCallback(headwater.router("echo", store="memory:"))
    scope: Any = {"type": "http", "app": FastAPI(), "router": FastAPI().router, "headers": []}
    with pytest.raises(Unsupported, match=r"app\.include_router"):
        await callback.start(Request(scope), bare.ainvoke("Hello"))
