"""Unusual token counts of some servers: read the same by every way to the provider."""

from typing import Any

import pytest
from raw import DONE, Raw, chunk, line
from ways import EVERY_WAY, Build, direct_chat, joined_answer

from headwater.entries import record, restore
from headwater.events import Finish, TextDelta, Usage
from headwater.offsets import Offset


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
