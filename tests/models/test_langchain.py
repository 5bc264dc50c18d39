"""A LangChain model as a Headwater model, against a real server on loopback."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import msgspec
import pytest
from upstream import Upstream

from headwater.errors import ModelError
from headwater.events import (
    Event,
    Finish,
    Metadata,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from headwater.models.langchain import LangChainModel
from headwater.models.openai import openai_chat, openai_completion
from headwater.prompt import Message, Prompt

KEY = "sk-the-operators-own-key"
HELLO = Prompt(model="m", messages=[Message("user", "Hello")])
ASKED = Prompt(kind="completion", model="m", messages=[Message("user", "Once upon")])


def chat(upstream: Upstream) -> LangChainModel:
    return openai_chat("gpt-test", api_key=KEY, base_url=upstream.url)


def completion(upstream: Upstream) -> LangChainModel:
    return openai_completion("babble", api_key=KEY, base_url=upstream.url)


async def answer(model: LangChainModel, prompt: Prompt = HELLO) -> list[Event]:
    """All events of one answer; what the model opened is closed again."""
    try:
        async with aclosing(model.stream(prompt)) as batches:
            return [event async for batch in batches for event in batch]
    finally:
        await model.aclose()


def texts(events: Sequence[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, TextDelta)]


def runnable(says: Any) -> LangChainModel:
    from langchain_core.runnables import RunnableGenerator

    async def of_input(given: Any):
        async for one in given:
            async for said in says(one):
                yield said

    return LangChainModel(RunnableGenerator(of_input), "generator")


async def inner(upstream: Upstream) -> tuple[LangChainModel, Any]:
    """A chat model's LangChain object, for use within something else, and the model that owns its connections."""
    owner = chat(upstream)
    await owner.prepare()
    ready = owner._ready  # pyright: ignore[reportPrivateUsage]
    assert ready is not None
    return owner, ready.result().runnable


# ---- Both kinds of model


async def test_a_chat_answer_comes_token_by_token_with_its_usage_and_reason():
    async with Upstream(tokens=["Hel", "lo", "!"], usage=(7, 3)) as upstream:
        events = await answer(chat(upstream))
    assert events == [TextDelta("Hel"), TextDelta("lo"), TextDelta("!"), Finish("stop", Usage(7, 3))]


async def test_a_completion_comes_token_by_token_and_its_reason_is_known():
    async with Upstream(tokens=["Hel", "lo"], finish="length") as upstream:
        events = await answer(completion(upstream), ASKED)
        assert upstream.requests[0].path == "/v1/completions"
        assert upstream.requests[0].body["prompt"] == "Once upon"
    assert events == [TextDelta("Hel"), TextDelta("lo"), Finish("length", Usage(3, 2))]


async def test_a_completion_asked_of_a_chat_model_is_one_user_turn():
    async with Upstream() as upstream:
        await answer(chat(upstream), ASKED)
        assert upstream.requests[0].body["messages"] == [{"role": "user", "content": "Once upon"}]


@pytest.mark.parametrize("build", [chat, completion])
async def test_each_token_is_there_before_the_next_one_is_sent(build: Any):
    async with Upstream(tokens=["a", "b", "c"], gated=True) as upstream:
        model = build(upstream)
        async with aclosing(model.stream(HELLO)) as batches:
            for token in "abc":
                upstream.release()
                assert await anext(batches) == [TextDelta(token)]
        await model.aclose()


@pytest.mark.parametrize("build", [chat, completion])
async def test_a_stream_that_ends_without_a_reason_has_no_finish(build: Any):
    async with Upstream(finish=None) as upstream:
        assert await answer(build(upstream)) == [TextDelta("Hel"), TextDelta("lo")]


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("MAX_TOKENS", "length"),
        ("bored", "other"),
    ],
)
async def test_the_reasons_of_all_providers_become_ours(told: str, reason: str):
    async with Upstream(finish=told) as upstream:
        assert (await answer(chat(upstream)))[-1] == Finish(reason, Usage(3, 2))


async def test_a_whole_conversation_with_tools_and_pictures_arrives_as_it_was():
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    prompt = Prompt(
        model="m",
        messages=[
            Message("system", "Be brief"),
            Message("user", [{"type": "text", "text": "Weather?"}, picture], name="ann"),
            Message("assistant", tool_calls=[call]),
            Message("tool", "rain", tool_call_id="c1"),
        ],
    )
    async with Upstream() as upstream:
        await answer(chat(upstream), prompt)
        assert upstream.requests[0].body["messages"] == [
            {"role": "system", "content": "Be brief"},
            {"role": "user", "content": [{"type": "text", "text": "Weather?"}, picture], "name": "ann"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "rain", "tool_call_id": "c1"},
        ]


async def test_messages_that_langchain_cannot_read_are_the_callers_fault():
    async with Upstream() as upstream:
        with pytest.raises(ModelError) as failure:
            await answer(chat(upstream), Prompt(model="m", messages=[Message("tool", "42")]))
        assert (failure.value.code, failure.value.status, upstream.calls) == ("invalid_prompt", 422, 0)


# ---- Tools, reasoning, metadata


async def test_tool_calls_begin_grow_and_end_one_after_the_other():
    calls = [("c1", "weather", ['{"city":', '"Oslo"}']), ("c2", "time", ["{}"])]
    tool: dict[str, Any] = {
        "type": "function",
        "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
    }
    async with Upstream(tokens=["Let me see"], tool_calls=calls, finish="tool_calls") as upstream:
        events = await answer(chat(upstream), msgspec.structs.replace(HELLO, tools=[tool]))
        assert upstream.requests[0].body["tools"] == [tool]
    assert events == [
        TextDelta("Let me see"),
        ToolCallStart("c1", "weather"),
        ToolCallDelta("c1", '{"city":'),
        ToolCallDelta("c1", '"Oslo"}'),
        ToolCallEnd("c1"),
        ToolCallStart("c2", "time"),
        ToolCallDelta("c2", "{}"),
        ToolCallEnd("c2"),
        Finish("tool_calls", Usage(3, 2)),
    ]


async def test_a_tool_call_that_is_cut_off_never_looks_finished():
    async with Upstream(tokens=[], tool_calls=[("c1", "f", ['{"a'])], finish=None) as upstream:
        assert await answer(chat(upstream)) == [ToolCallStart("c1", "f"), ToolCallDelta("c1", '{"a')]


async def test_the_reasoning_of_compatible_servers_is_kept():
    async with Upstream(reasoning=["Hm", "m"], tokens=["42"]) as upstream:
        events = await answer(chat(upstream))
    assert events[:-1] == [ReasoningDelta("Hm"), ReasoningDelta("m"), TextDelta("42")]


async def test_content_blocks_of_other_providers_become_reasoning_and_text():
    from langchain_core.messages import AIMessageChunk

    async def says(_: Any):
        yield AIMessageChunk(content=[{"type": "thinking", "thinking": "Hm"}])
        yield AIMessageChunk(content=[{"type": "reasoning", "summary": [{"type": "summary_text", "text": "So"}]}])
        yield AIMessageChunk(content=[{"type": "reasoning", "reasoning": "on"}, {"type": "text", "text": "42"}, "!"])
        yield AIMessageChunk(content="", response_metadata={"stop_reason": "end_turn"})

    events = await answer(runnable(says))
    assert events == [*map(ReasoningDelta, ("Hm", "So", "on")), TextDelta("42"), TextDelta("!"), Finish("stop")]


async def test_how_the_history_was_fitted_is_told():
    from langchain_core.messages import AIMessageChunk

    async def says(_: Any):
        yield AIMessageChunk(content="", response_metadata={"fitted": {"dropped": 2}})
        yield AIMessageChunk(content="Hi", response_metadata={"finish_reason": "stop"})

    assert await answer(runnable(says)) == [Metadata({"fitted": {"dropped": 2}}), TextDelta("Hi"), Finish("stop")]


async def test_usage_told_in_two_halves_is_added_up_with_its_details():
    from langchain_core.messages import AIMessageChunk

    async def says(_: Any):
        first: Any = {
            "input_tokens": 5,
            "output_tokens": 0,
            "total_tokens": 5,
            "input_token_details": {"cache_read": 4},
        }
        yield AIMessageChunk(content="Hi", usage_metadata=first)
        last: Any = {"input_tokens": 0, "output_tokens": 9, "total_tokens": 9}
        yield AIMessageChunk(content="", usage_metadata=last, response_metadata={"finish_reason": "stop"})

    finish = (await answer(runnable(says)))[-1]
    assert finish == Finish("stop", Usage(5, 9, {"input_token_details": {"cache_read": 4}}))


async def test_a_whole_message_with_tool_calls_becomes_the_same_events():
    from langchain_core.messages import AIMessage
    from langchain_core.runnables import RunnableLambda

    message = AIMessage(content="Hi", tool_calls=[{"name": "f", "args": {"a": 1}, "id": "c1"}])
    events = await answer(LangChainModel(RunnableLambda(lambda _: message), "lambda"))
    start, delta, end = ToolCallStart("c1", "f"), ToolCallDelta("c1", '{"a": 1}'), ToolCallEnd("c1")
    assert events == [TextDelta("Hi"), start, delta, end, Finish("stop")]
