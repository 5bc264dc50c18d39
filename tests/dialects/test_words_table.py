"""The table of docs/clients/index.md: which dialect has a word for which event. Each cell is tested."""

import re

import pytest
from corpus import MESSAGE_ID
from spoken import NOT_SAYABLE, SPOKEN, table

from headwater.dialects.dialect import BEGINNING
from headwater.entries import record
from headwater.events import (
    Continued,
    Error,
    Event,
    Finish,
    Metadata,
    ReasoningDelta,
    Start,
    Stop,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolResult,
    Usage,
)
from headwater.offsets import Offset

CALL = [ToolCallStart("c1", "look"), ToolCallDelta("c1", "{}")]
DETAILS = {"prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 5}}

LOGS: dict[str, tuple[list[Event], list[Event]]] = {
    "text-delta": ([TextDelta("Hi"), Finish("stop")], [Finish("stop")]),
    "reasoning-delta": ([ReasoningDelta("Hm"), TextDelta("Hi"), Finish("stop")], [TextDelta("Hi"), Finish("stop")]),
    "tool-call-start": ([CALL[0], Finish("tool_calls")], [Finish("tool_calls")]),
    "tool-call-delta": ([*CALL, Finish("tool_calls")], [CALL[0], Finish("tool_calls")]),
    "tool-result": (
        [*CALL, ToolCallEnd("c1"), ToolResult("c1", "42"), Finish("stop")],
        [*CALL, ToolCallEnd("c1"), Finish("stop")],
    ),
    "metadata": ([Metadata({"fitted": 1}), TextDelta("Hi"), Finish("stop")], [TextDelta("Hi"), Finish("stop")]),
    "continued": (
        [TextDelta("Hi"), Continued("provider", "prefill", "1-2"), TextDelta("!"), Finish("stop")],
        [TextDelta("Hi"), TextDelta("!"), Finish("stop")],
    ),
    "finish `stop`": ([TextDelta("Hi"), Finish("stop")], [TextDelta("Hi")]),
    "finish `length`": ([TextDelta("Hi"), Finish("length")], [TextDelta("Hi"), Finish("stop")]),
    "finish `tool_calls`": ([*CALL, Finish("tool_calls")], [*CALL]),
    "finish `content_filter`": ([TextDelta("Hi"), Finish("content_filter")], [TextDelta("Hi"), Finish("stop")]),
    "usage": ([TextDelta("Hi"), Finish("stop", Usage(7, 9))], [TextDelta("Hi"), Finish("stop")]),
    "cached and reasoning tokens": (
        [TextDelta("Hi"), Finish("stop", Usage(7, 9, DETAILS))],
        [TextDelta("Hi"), Finish("stop", Usage(7, 9))],
    ),
    "cache-write tokens": (
        [TextDelta("Hi"), Finish("stop", Usage(7, 9, cache_write_tokens=3))],
        [TextDelta("Hi"), Finish("stop", Usage(7, 9))],
    ),
    "cost": (
        [TextDelta("Hi"), Finish("stop", Usage(7, 9, cost=0.5))],
        [TextDelta("Hi"), Finish("stop", Usage(7, 9))],
    ),
    "stop": ([TextDelta("Hi"), Stop("ann")], [TextDelta("Hi"), Finish("stop")]),
    "error": ([TextDelta("Hi"), Error("timeout", "Too slow.")], [TextDelta("Hi"), Finish("stop")]),
}
"""For each row, a log with the event and the same log without it."""


WORDS = table("words")


def frames(dialect: str, events: list[Event]) -> bytes:
    """The data of a log's frames."""
    reader = SPOKEN[dialect](MESSAGE_ID, BEGINNING)
    log: list[Event] = [Start(MESSAGE_ID, "m", 1), *events]
    body = b"".join(reader.feed([record(Offset(1, n), n / 10, event)]) for n, event in enumerate(log, 1))
    return re.sub(rb"^id: .*\n", b"", body, flags=re.MULTILINE)


def test_the_table_has_every_event_and_every_dialect() -> None:
    """A new event or a new dialect is missing here first."""
    assert WORDS.keys() == LOGS.keys()
    for cells in WORDS.values():
        assert cells.keys() == SPOKEN.keys()


@pytest.mark.parametrize("dialect", SPOKEN)
@pytest.mark.parametrize("row", LOGS)
def test_each_cell_is_what_the_dialect_says(row: str, dialect: str) -> None:
    """The code in a cell stands in the frames; what is not sayable changes no frame."""
    cell = WORDS[row][dialect]
    told, without = (frames(dialect, events) for events in LOGS[row])

    if cell == NOT_SAYABLE:
        assert told == without
        return
    words = re.findall(r"`([^`]+)`", cell)
    assert words, f"the cell {cell!r} has no word in code"
    for word in words:
        assert word.encode() in told
    assert told != without
