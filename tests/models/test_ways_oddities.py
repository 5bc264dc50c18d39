"""Unusual tool calls and token counts of some servers: read the same by every way to the provider."""

from typing import Any

import pytest
from raw import DONE, Raw, call_chunk, chunk, line
from ways import EVERY_CHAT, EVERY_WAY, Build, direct_chat, joined_answer, until_failure

from headwater.entries import record, restore
from headwater.events import Event, Finish, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart, Usage
from headwater.offsets import Offset

ENDING = chunk("tool_calls") + DONE


@EVERY_CHAT
@pytest.mark.parametrize("again", [("a", None), ("a", "f"), (None, None)])
async def test_interleaved_tool_calls_never_look_complete(build: Build, again: tuple[str | None, str | None]) -> None:
    """The first call has already ended, so the rest of its arguments can only be an error."""
    pieces = [call_chunk(0, "a", "f", '{"x"'), call_chunk(1, "b", "g", "{}"), call_chunk(0, *again, ":1}"), ENDING]
    async with Raw(pieces=pieces) as upstream:
        events, failure = await until_failure(build(upstream))
    assert failure.code == "provider_garbled"
    assert ToolCallStart("a", "") not in events


@EVERY_CHAT
async def test_two_calls_with_one_id_are_two_calls(build: Build) -> None:
    """Some servers use the tool's name as the id."""
    async with Raw(pieces=[call_chunk(0, "f", "f", "{}"), call_chunk(1, "f", "f", "[]"), ENDING]) as upstream:
        events = await joined_answer(build(upstream))
    assert [event for event in events if isinstance(event, ToolCallDelta)] == [
        ToolCallDelta("f", "{}"),
        ToolCallDelta("f", "[]"),
    ]


@EVERY_CHAT
async def test_the_name_of_a_tool_may_come_after_its_id(build: Build) -> None:
    """`ToolCallStart` waits for it."""
    async with Raw(
        pieces=[call_chunk(0, "a"), call_chunk(0, None, "f"), call_chunk(0, None, None, "{}"), ENDING]
    ) as upstream:
        assert await joined_answer(build(upstream)) == [
            ToolCallStart("a", "f"),
            ToolCallDelta("a", "{}"),
            ToolCallEnd("a"),
            Finish("tool_calls"),
        ]


async def test_a_call_that_never_gets_a_name_has_an_empty_one() -> None:
    """A client sees that there was a call."""
    async with Raw(pieces=[call_chunk(0, "a"), ENDING]) as upstream:
        calls: list[Event] = [ToolCallStart("a", ""), ToolCallEnd("a")]
        assert await joined_answer(direct_chat(upstream)) == [*calls, Finish("tool_calls")]


@pytest.mark.parametrize(
    ("counted", "usage"),
    [
        ({"prompt_tokens": 3.0, "completion_tokens": "7"}, Usage(3, 7)),
        ({"prompt_tokens": 3.5, "completion_tokens": None}, Usage(3, 0)),
        ({"prompt_tokens": -1, "completion_tokens": 2**70}, Usage(0, 0)),
        ({"prompt_tokens": [1], "completion_tokens": "many", "prompt_tokens_details": [2]}, Usage(0, 0)),
        (
            {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": "4"}},
            Usage(9, 1, {"input_token_details": {"cache_read": 4}}),
        ),
    ],
)
async def test_token_counts_are_whole_numbers_or_left_out(counted: dict[str, Any], usage: Usage) -> None:
    """A log with anything else in it could not be read back from every store."""
    pieces = [chunk("stop", content="x"), line({"choices": [], "usage": counted}), DONE]
    async with Raw(pieces=pieces) as upstream:
        events = await joined_answer(direct_chat(upstream))
    assert events == [TextDelta("x"), Finish("stop", usage)]
    assert restore(Offset(1, 1), record(Offset(1, 1), 0, events[-1]).data).event == events[-1]


@EVERY_WAY
@pytest.mark.filterwarnings("ignore:Pydantic serializer")  # OpenAI's client only warns
async def test_odd_token_counts_never_break_the_answer(build: Build) -> None:
    """Whatever the counts are, the text is passed on and the log can be read."""
    choice = {"index": 0, "delta": {"content": "x"}, "text": "x", "finish_reason": "stop"}
    if "completion" in build.__name__:
        del choice["delta"]
    counted = {"prompt_tokens": 3.0, "completion_tokens": 7.0, "prompt_tokens_details": {"cached_tokens": 2.0}}
    async with Raw(pieces=[line({"choices": [choice]}), line({"choices": [], "usage": counted}), DONE]) as upstream:
        events = await joined_answer(build(upstream))
    assert events[0] == TextDelta("x")
    restored = restore(Offset(1, 1), record(Offset(1, 1), 0, events[-1]).data).event
    assert isinstance(restored, Finish)
    assert restored.usage is not None
    assert (restored.usage.input_tokens, restored.usage.output_tokens) == (3, 7)
