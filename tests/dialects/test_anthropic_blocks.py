"""Anthropic's content blocks: one is open at a time, whatever order the log has its events in."""

import json
from collections.abc import Sequence
from typing import Any

from corpus import MESSAGE_ID
from hypothesis import given
from hypothesis import strategies as st

from headwater.dialects.anthropic.encoder import Encoder
from headwater.dialects.fold import AGAIN, ID
from headwater.entries import record
from headwater.events import Event, Finish, ReasoningDelta, Start, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart
from headwater.offsets import Offset


def blocks(events: Sequence[Event]) -> list[tuple[str, str, str]]:
    """The content blocks of a log, read as strictly as the protocol allows: type, tool and content of each."""
    encoder, found = Encoder(), list[tuple[str, str, str]]()
    open: Any = None
    log = [Start(MESSAGE_ID, "m"), *events, Finish("tool_calls")]
    lines = [line for n, event in enumerate(log, 1) for line in encoder.encode(record(Offset(1, n), 0, event))]
    for frame in (json.loads(line.translate(None, ID + AGAIN)) for line in lines):
        if frame["type"] == "content_block_start":
            assert open is None
            assert frame["index"] == len(found)
            open = frame["content_block"]
            found.append((open["type"], open.get("id", ""), ""))
        elif frame["type"] == "content_block_delta":
            assert frame["index"] == len(found) - 1
            kind, *content = frame["delta"].values()
            if kind != "signature_delta":
                found[-1] = (*found[-1][:2], found[-1][2] + content[0])
        elif frame["type"] == "content_block_stop":
            assert frame["index"] == len(found) - 1
            open = None
    assert open is None
    return found


def test_a_call_that_comes_while_another_is_open_waits_for_its_end() -> None:
    """Its pieces, and the text after it, keep their order among themselves; the open call goes on live."""
    log = [
        TextDelta("Look:"),
        ToolCallStart("a", "f"),
        ToolCallStart("b", "f"),
        ToolCallDelta("b", '{"b"'),
        ToolCallDelta("a", "{}"),
        TextDelta("And"),
        ToolCallDelta("b", ":1}"),
        ToolCallEnd("b"),
        ToolCallEnd("a"),
        ReasoningDelta("Hm"),
    ]

    assert blocks(log) == [
        ("text", "", "Look:"),
        ("tool_use", "a", "{}"),
        ("tool_use", "b", '{"b":1}'),
        ("text", "", "And"),
        ("thinking", "", "Hm"),
    ]


_CALLS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=20)
_WORDS = st.sampled_from([TextDelta("t"), ReasoningDelta("r"), TextDelta("")])


@given(st.permutations([0, 1, 2, 3]), _CALLS, st.lists(st.tuples(st.integers(0, 40), _WORDS), max_size=20), st.data())
def test_however_events_are_mixed_every_piece_is_in_one_block_and_in_its_order(
    ends: list[int], pieces: list[tuple[int, int]], words: list[tuple[int, Event]], data: st.DataObject
) -> None:
    """Nothing is lost and nothing twice."""
    log: list[Event] = [ToolCallStart(str(call), "f") for call in range(4)]
    log += [ToolCallDelta(str(call), str(piece)) for call, piece in pieces]
    log += [ToolCallEnd(str(call)) for call in ends[: data.draw(st.integers(0, 4))]]
    for place, event in words:
        log.insert(place, event)

    found = blocks(log)

    for kind, delta in (("text", TextDelta), ("thinking", ReasoningDelta)):
        assert "".join(text for type, _, text in found if type == kind) == "".join(
            event.text for event in log if isinstance(event, delta)
        )
    for call in range(4):
        wanted = "".join(str(piece) for owner, piece in pieces if owner == call)
        assert [text for type, id, text in found if (type, id) == ("tool_use", str(call))] == [wanted]
