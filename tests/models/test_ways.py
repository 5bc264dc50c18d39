"""A provider's answer as events: the same by every way to the provider."""

from typing import Any

import msgspec
import pytest
from upstream import Upstream
from ways import EVERY_CHAT, EVERY_COMPLETION, EVERY_WAY, HELLO, ONCE_UPON, Build, answer, joined_answer

from headwater.errors import ModelError
from headwater.events import Finish, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart, Usage
from headwater.prompt import Image, Message, MessageToolCall, Prompt, Text, Tool


@EVERY_CHAT
async def test_a_chat_answer_comes_with_its_usage_and_reason(build: Build) -> None:
    """Text in any script; empty tokens are dropped."""
    async with Upstream(tokens=["Hel", "lo", "", " wörld 🌍", "\n"], usage=(7, 3)) as upstream:
        assert await joined_answer(build(upstream)) == [TextDelta("Hello wörld 🌍\n"), Finish("stop", Usage(7, 3))]


@EVERY_COMPLETION
async def test_a_completion_comes_with_its_usage_and_reason(build: Build) -> None:
    """By the older API."""
    async with Upstream(tokens=["Hel", "lo"], finish="length") as upstream:
        assert await joined_answer(build(upstream), ONCE_UPON) == [TextDelta("Hello"), Finish("length", Usage(3, 2))]
        assert upstream.requests[0].path == "/v1/completions"
        assert upstream.requests[0].body["prompt"] == "Once upon"


@EVERY_CHAT
async def test_a_completion_by_a_chat_model_is_one_user_turn(build: Build) -> None:
    """So one model serves both routes."""
    async with Upstream() as upstream:
        await answer(build(upstream), ONCE_UPON)
        assert upstream.requests[0].body["messages"] == [{"role": "user", "content": "Once upon"}]


@EVERY_WAY
async def test_a_stream_that_ends_without_a_reason_has_no_finish(build: Build) -> None:
    """A truncated answer must not look whole."""
    async with Upstream(finish=None) as upstream:
        assert await joined_answer(build(upstream)) == [TextDelta("Hello")]


@EVERY_WAY
async def test_without_token_counts_there_is_no_usage(build: Build) -> None:
    """No usage is not the same as a usage of zero."""
    async with Upstream(tokens=["a"], usage=None) as upstream:
        assert await joined_answer(build(upstream)) == [TextDelta("a"), Finish("stop")]


REASONS = {
    "stop": ("stop", "end_turn", "stop_sequence"),
    "length": ("length", "max_tokens", "MAX_TOKENS"),
    "content_filter": ("content_filter",),
    "other": ("bored",),
}


@EVERY_WAY
async def test_the_reasons_of_all_providers_become_ours(build: Build) -> None:
    """Under any of their names."""
    async with Upstream(tokens=["x"]) as upstream:
        for reason, names in REASONS.items():
            for upstream.finish in names:
                assert await joined_answer(build(upstream)) == [TextDelta("x"), Finish(reason, Usage(3, 2))]


@EVERY_CHAT
async def test_the_reasons_to_call_a_tool_become_ours(build: Build) -> None:
    """Under any of their names."""
    async with Upstream(tokens=[], tool_calls=[("c1", "f", ["{}"])]) as upstream:
        for upstream.finish in ("tool_calls", "function_call", "tool_use"):
            assert (await joined_answer(build(upstream)))[-1] == Finish("tool_calls", Usage(3, 2))


@EVERY_CHAT
async def test_a_whole_conversation_with_tools_and_pictures_arrives_as_it_was(build: Build) -> None:
    """Word for word."""
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    prompt = Prompt(
        model="m",
        messages=[
            Message("system", "Be brief"),
            Message("user", [Text("Weather?"), Image(data="AA==", media_type="image/png")], name="ann"),
            Message("assistant", tool_calls=[MessageToolCall("c1", "weather", '{"city": "Oslo"}')]),
            Message("tool", "rain", tool_call_id="c1"),
        ],
    )
    async with Upstream() as upstream:
        await answer(build(upstream), prompt)
        assert upstream.requests[0].body["messages"] == [
            {"role": "system", "content": "Be brief"},
            {"role": "user", "content": [{"type": "text", "text": "Weather?"}, picture], "name": "ann"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "rain", "tool_call_id": "c1"},
        ]


@EVERY_CHAT
async def test_messages_that_no_model_can_read_are_the_callers_mistake(build: Build) -> None:
    """No request is sent."""
    async with Upstream() as upstream:
        with pytest.raises(ModelError) as failure:
            await answer(build(upstream), Prompt(model="m", messages=[Message("tool", "42")]))
        assert (failure.value.code, failure.value.status, upstream.calls) == ("invalid_prompt", 422, 0)


@EVERY_CHAT
async def test_tool_calls_begin_grow_and_end_one_after_the_other(build: Build) -> None:
    """After the text before them."""
    calls = [("c1", "weather", ['{"city":', '"Oslo"}']), ("c2", "time", ["{}"])]
    tool: dict[str, Any] = {
        "type": "function",
        "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
    }
    async with Upstream(tokens=["Let me see"], tool_calls=calls, finish="tool_calls") as upstream:
        tools = [Tool("weather", parameters={"type": "object", "properties": {}})]
        events = await joined_answer(build(upstream), msgspec.structs.replace(HELLO, tools=tools))
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


@EVERY_CHAT
async def test_a_tool_call_that_is_cut_off_never_looks_finished(build: Build) -> None:
    """Half of its arguments must not reach a tool."""
    async with Upstream(tokens=[], tool_calls=[("c1", "f", ['{"a'])], finish=None) as upstream:
        assert await joined_answer(build(upstream)) == [ToolCallStart("c1", "f"), ToolCallDelta("c1", '{"a')]


@EVERY_CHAT
async def test_the_reasoning_of_compatible_servers_is_kept(build: Build) -> None:
    """So a model that thinks does not look silent."""
    async with Upstream(reasoning=["Hm", "m"], tokens=["42"]) as upstream:
        assert (await joined_answer(build(upstream)))[:-1] == [ReasoningDelta("Hmm"), TextDelta("42")]
