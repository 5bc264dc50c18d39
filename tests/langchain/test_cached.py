"""Models made cached: every way to call one, what decides a key, and what is kept."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import ConfigurableField
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field
from redis_servers import Server
from upstream import Upstream

from headwater.errors import Unsupported
from headwater.langchain import Cached


class Half(float):
    """A number of a class of its own, as numpy's are."""


class Weather(BaseModel):
    """The weather of a city."""

    city: str


def without_id(chunk: AIMessageChunk) -> dict[str, Any]:
    return chunk.model_dump(exclude={"id"})


async def test_a_replay_has_the_chunks_of_the_first_answer_and_an_id_of_its_own(model: Any, upstream: Upstream):
    first = [chunk async for chunk in model.astream("Hello")]
    second = [chunk async for chunk in model.astream("Hello")]
    assert [without_id(chunk) for chunk in first] == [without_id(chunk) for chunk in second]
    assert first[0].id != second[0].id
    assert upstream.calls == 1


async def test_the_chunks_are_those_of_the_bare_model(model: Any, bare: Any):
    bare.stream_usage = True
    ours = [without_id(chunk) async for chunk in model.astream("Hello")]
    assert ours == [without_id(chunk) async for chunk in bare.astream("Hello")]


async def test_calls_that_block_and_calls_that_do_not_share_their_answers(model: Any, upstream: Upstream):
    """From a thread without an event loop; the model's own client that blocks asks."""
    invoked = await asyncio.to_thread(model.invoke, "Hello")
    streamed = await asyncio.to_thread(lambda: [chunk.text for chunk in model.stream("Hello") if chunk.text])
    assert (invoked.text, streamed) == ("abc", ["a", "b", "c"])
    assert (await model.ainvoke("Hello")).text == "abc"
    assert [answer.text for answer in await asyncio.to_thread(model.batch, ["Hello", "Hello"])] == ["abc", "abc"]
    assert [answer.text for answer in await model.abatch(["Hello", "Hello"])] == ["abc", "abc"]
    assert upstream.calls == 1


async def test_a_hit_does_not_need_the_event_loop_in_which_its_answer_was_made(model: Any, upstream: Upstream):
    await model.ainvoke("Hello")
    assert (await asyncio.to_thread(asyncio.run, model.ainvoke("Hello"))).text == "abc"
    assert upstream.calls == 1


async def test_a_call_that_blocks_an_event_loop_is_answered_there(options: dict[str, Any]):
    """As in a notebook, or in a function that somebody made async and did not finish."""
    model: Any = Cached(FakeListChatModel(responses=["Hi"]), store="memory:")
    assert [model.invoke("Hello").text, model.invoke("Hello").text] == ["Hi", "Hi"]


async def test_tool_calls_come_back_piece_by_piece(model: Any, upstream: Upstream):
    upstream.tool_calls, upstream.finish = [("c1", "Weather", ['{"city"', ': "Rome"}'])], "tool_calls"
    bound = model.bind_tools([Weather])
    first = [chunk async for chunk in bound.astream("Hello")]
    second = [chunk async for chunk in bound.astream("Hello")]
    assert [chunk.tool_call_chunks for chunk in first] == [chunk.tool_call_chunks for chunk in second]
    assert sum(bool(chunk.tool_call_chunks) for chunk in second) == 3
    answer = await bound.ainvoke("Hello")
    assert answer.tool_calls == [{"name": "Weather", "args": {"city": "Rome"}, "id": "c1", "type": "tool_call"}]
    assert upstream.calls == 1
    await model.bind_tools([]).ainvoke("Hello")
    assert upstream.calls == 2, "the tools were not in the key"


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # of langchain-openai, about its own `parsed`
@pytest.mark.parametrize("method", ["function_calling", "json_mode", "json_schema"])
async def test_structured_output_is_the_models_own(model: Any, upstream: Upstream, method: str):
    if method == "function_calling":
        upstream.tool_calls, upstream.finish = [("c1", "Weather", ['{"city": "Rome"}'])], "tool_calls"
    else:
        upstream.tokens = ['{"city": ', '"Rome"}']
    structured = model.with_structured_output(Weather, method=method)
    for _ in range(2):
        assert await structured.ainvoke("Hello") == Weather(city="Rome")
    assert await asyncio.to_thread(structured.invoke, "Hello") == Weather(city="Rome")
    assert upstream.calls == 1


async def test_a_completion_model_replays_its_tokens_and_tells_its_callbacks(llm: Any, upstream: Upstream):
    class Ears(BaseCallbackHandler):
        def __init__(self) -> None:
            self.tokens: list[str] = []
            self.ends = 0

        def on_llm_new_token(self, token: Any, **_: Any) -> None:
            self.tokens.append(token)

        def on_llm_end(self, response: Any, **_: Any) -> None:
            self.ends += 1

    for _ in range(2):
        assert [token async for token in llm.astream("Once") if token] == ["a", "b", "c"]
    assert await asyncio.to_thread(lambda: [token for token in llm.stream("Once") if token]) == ["a", "b", "c"]
    assert await asyncio.to_thread(llm.invoke, "Once") == "abc"
    for heard in (Ears(), Ears()):
        assert await llm.ainvoke("Once", {"callbacks": [heard]}) == "abc"
        assert [token for token in heard.tokens if token] == ["a", "b", "c"]
        assert heard.ends == 1
    assert upstream.calls == 1


class Whole(BaseChatModel):
    """A model that cannot stream."""

    calls: list[str] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "whole"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        self.calls.append(str(messages[-1].content))
        call: Any = {"name": "look", "args": {"city": "Zürich"}, "id": "c1", "type": "tool_call"}
        usage: Any = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
        message = AIMessage("Hm", tool_calls=[call], usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=message)], llm_output={"model_name": "w"})


async def test_a_model_that_cannot_stream_is_cached_too():
    whole = Whole()
    model: Any = Cached(whole, store="memory:")
    bare = Whole().invoke("Hello")
    for answer in [await model.ainvoke("Hello"), await asyncio.to_thread(model.invoke, "Hello")]:
        assert answer.model_dump(exclude={"id"}) == bare.model_dump(exclude={"id"})
    assert whole.calls == ["Hello"]
    llm: Any = Cached(FakeListLLM(responses=["1", "2"]), store="memory:")
    assert [await llm.ainvoke("a"), await llm.ainvoke("a"), await llm.ainvoke("b")] == ["1", "1", "2"]


@pytest.mark.parametrize("finish", ["length", "content_filter", None])
async def test_an_answer_that_may_be_a_part_is_given_and_not_kept(model: Any, upstream: Upstream, finish: str | None):
    upstream.finish = finish
    assert [(await model.ainvoke("Hello")).text for _ in range(2)] == ["abc", "abc"]
    assert upstream.calls == 2


async def test_what_decides_the_answer_decides_the_key(options: dict[str, Any], upstream: Upstream):
    """A user's key among it: two accounts never share an answer on one store."""
    hello = HumanMessage("Hello")
    result = ToolMessage("3", tool_call_id="c1")
    store = "memory:"
    bare: Any = ChatOpenAI(model="gpt-test", **options)
    model = Cached(bare, store=store)
    for asked, bound in [
        ([hello], {}),
        ([HumanMessage("Hello!")], {}),
        ([HumanMessage([{"type": "text", "text": "Hello"}, {"type": "image_url", "image_url": {"url": "x:"}}])], {}),
        ([AIMessage("Hello")], {}),
        ([HumanMessage("Hello", name="Ann")], {}),
        ([hello, AIMessage("", tool_calls=[{"name": "f", "args": {"a": 1}, "id": "c1"}]), result], {}),
        ([hello, AIMessage("", tool_calls=[{"name": "f", "args": {"a": 2}, "id": "c1"}]), result], {}),
        ([hello], {"stop": ["x"]}),
        ([hello], {"temperature": Half(0.5)}),
        ([hello], {"temperature": Half(0.25)}),
    ]:
        before = upstream.calls
        await model.ainvoke(asked, **bound)
        assert upstream.calls == before + 1, (asked, bound)
        await model.ainvoke(asked, **bound)
        assert upstream.calls == before + 1, (asked, bound)


async def test_models_with_other_fields_share_a_store_and_no_answer(
    options: dict[str, Any], upstream: Upstream, tmp_path: Path
):
    """And a model made anew from the same fields finds what the one before has kept."""
    store = f"sqlite://{tmp_path}/logs.sqlite"
    fields: list[dict[str, Any]] = [{}, {"temperature": 0.1}, {"api_key": "another"}]
    for number, more in enumerate(fields, 1):
        for _ in range(2):
            await Cached(ChatOpenAI(model="gpt-test", **{**options, **more}), store=store).ainvoke("Hello")
        assert upstream.calls == number
    await Cached(ChatOpenAI(model="gpt-test", **options), store=store, tenant="t2").ainvoke("Hello")
    await Cached(ChatOpenAI(model="gpt-test", **options), store=store, cache_as="v2").ainvoke("Hello")
    assert upstream.calls == len(fields) + 2


async def test_a_changed_model_asks_anew_and_a_configured_one_is_refused(model: Any, upstream: Upstream):
    """A copy with another field, and a field that is set. LangChain makes a configured model without our store."""
    await model.ainvoke("Hello")
    copy = model.model_copy(update={"temperature": 0.25})
    assert [(await copy.ainvoke("Hello")).text for _ in range(2)] == ["abc", "abc"]
    model.temperature = 0.75
    await model.ainvoke("Hello")
    assert [request.body.get("temperature") for request in upstream.requests] == [None, 0.25, 0.75]
    configured = model.configurable_fields(temperature=ConfigurableField("t"))
    with pytest.raises(Unsupported, match="wrap it in Cached"):
        await configured.ainvoke("Hello", {"configurable": {"t": 0.5}})


async def test_two_processes_join_one_answer_through_redis(
    options: dict[str, Any], upstream: Upstream, redis_server: Server
):
    """Two models stand for them: they share nothing but the store."""
    upstream.gated = True
    models = [Cached(ChatOpenAI(model="gpt-test", **options), store=redis_server.url) for _ in range(2)]
    asked = [asyncio.create_task(model.ainvoke("Hello")) for model in models]
    await upstream.received()
    upstream.release(3)
    assert [answer.text for answer in await asyncio.gather(*asked)] == ["abc", "abc"]
    assert upstream.calls == 1


async def test_an_answer_too_large_for_one_event_is_whole(model: Any, upstream: Upstream):
    text, arguments = "ü" * 20_000, json.dumps({"city": '"' * 30_000})
    upstream.tokens = [text]
    upstream.tool_calls, upstream.finish = [("c1", "Weather", [arguments])], "tool_calls"
    for _ in range(2):
        answer = await model.ainvoke("Hello")
        assert answer.text == text
        assert answer.tool_calls[0]["args"] == json.loads(arguments)
        assert answer.usage_metadata["total_tokens"] == 5
    assert upstream.calls == 1


async def test_who_joined_an_answer_that_fails_gets_the_same_exception(model: Any, upstream: Upstream):
    import openai

    upstream.gated, upstream.error_after = True, 1
    asked = [asyncio.create_task(model.ainvoke("Hello")) for _ in range(3)]
    await upstream.received()
    upstream.release(3)
    failures = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(failure) for failure in failures] == [openai.APIError] * 3
    assert upstream.calls == 1


async def test_who_leaves_ends_no_answer_that_another_still_wants(model: Any, upstream: Upstream):
    upstream.gated = True
    leaving, staying = (asyncio.create_task(model.ainvoke("Hello")) for _ in range(2))
    await upstream.received()
    upstream.release()
    leaving.cancel()
    upstream.release(2)
    assert (await staying).text == "abc"
    assert upstream.calls == 1


async def test_the_providers_connection_closes_when_the_last_caller_has_left(model: Any, upstream: Upstream):
    upstream.gated = True
    leaving = asyncio.create_task(model.ainvoke("Hello"))
    request = await upstream.received()
    leaving.cancel()
    await asyncio.wait_for(request.closed.wait(), 10)


def test_what_is_no_model_is_refused_by_name():
    with pytest.raises(Unsupported, match=r"Binding.*then bind to it"):
        Cached(FakeListChatModel(responses=["Hi"]).bind(stop=["x"]), store="memory:")  # pyright: ignore[reportArgumentType]
    with pytest.raises(Unsupported, match="is not a store"):
        Cached(FakeListChatModel(responses=["Hi"]), store="mongodb://x")
