"""Which call a piece of a tool call belongs to, however a server marks it: the same by every way to the provider."""

import json
from typing import Any

import pytest
from raw import DONE, Raw, chunk, line
from ways import EVERY_CHAT, Build, joined_answer, until_failure

from headwater.answer import Fold
from headwater.events import Event, Finish, TextDelta, ToolCallEnd, ToolCallStart, is_admissible

Piece = dict[str, Any]
ENDING = chunk("tool_calls") + DONE


def piece(name: str | None = None, arguments: Any = None, **marks: Any) -> Piece:
    """A piece of a tool call, with only the fields that are given."""
    function = {"name": name, "arguments": arguments}
    return {**marks, "function": {field: value for field, value in function.items() if value is not None}}


def each(*pieces: Piece) -> list[list[Piece]]:
    """Every piece in a delta of its own."""
    return [[one] for one in pieces]


ONE = [("f", '{"x":1}')]
TWO = [("f", '{"x":1}'), ("g", '{"y":[2]}')]
F, G = '{"x":1}', '{"y":[2]}'

UNDERSTOOD: dict[str, tuple[list[list[Piece]], list[tuple[str, str]]]] = {
    "no index and no id, in one delta": ([[piece("f", F), piece("g", G)]], TWO),
    "no index and no id, in several deltas": (each(piece("f", F), piece("g", G)), TWO),
    "no index and no id, in pieces": (
        each(piece("f", ""), piece(None, '{"x"'), piece(None, ":1}"), piece("g", ""), piece(None, G)),
        TWO,
    ),
    "twice the same tool without marks": (each(piece("f", F), piece("f", F)), [*ONE, *ONE]),
    "ids without an index": (each(piece("f", F, id="a"), piece("g", G, id="b")), TWO),
    "an id that changes with every piece": (
        each(piece("f", "", id="a"), piece(None, '{"x"', id="b"), piece(None, ":1}", id="c")),
        ONE,
    ),
    "an id that changes, with an index": (
        each(
            piece("f", "", id="a", index=0), piece(None, '{"x"', id="b", index=0), piece(None, ":1}", id="c", index=0)
        ),
        ONE,
    ),
    "an id and a name in every piece": (
        each(*(piece("f", part, id="a", index=0) for part in ("", '{"x"', ":1}"))),
        ONE,
    ),
    "a name in every piece": (each(piece("f", '{"x"', index=0), piece("f", ":1}", index=0)), ONE),
    "arguments under a rising index": (
        each(piece("f", "", index=0, id="a"), piece(None, '{"x"', index=1), piece(None, ":1}", index=2)),
        ONE,
    ),
    "the head under 0, its arguments under 1": (
        each(piece("f", "", index=0, id="a"), piece(None, '{"x"', index=1), piece(None, ":1}", index=1)),
        ONE,
    ),
    "heads and arguments under an index each": (
        each(piece("f", index=0), piece(None, F, index=1), piece("g", index=2), piece(None, G, index=3)),
        TWO,
    ),
    "all calls under the same index": (each(piece("f", F, index=0), piece("g", G, index=0)), TWO),
    "all calls under the same index, with ids": (
        each(piece("f", F, index=0, id="a"), piece("g", "", index=0, id="b"), piece(None, G, index=0, id="b")),
        TWO,
    ),
    "arguments before the name": (each(piece(None, '{"x"', index=0), piece("f", ":1}", index=0)), ONE),
    "arguments before the name, without marks": (each(piece(None, F), piece("f"), piece("g", G)), TWO),
    "the id before the name": (each(piece(id="a", index=0), piece("f", index=0), piece(None, F, index=0)), ONE),
    "arguments as an object": (each(piece("f", {"x": 1}, index=0), piece("g", {"y": [2]}, index=1)), TWO),
    "an empty object": (each(piece("f", {}, id="a")), [("f", "{}")]),
    "interleaved by index": (
        each(
            piece("f", "", index=0, id="a"),
            piece("g", "", index=1, id="b"),
            piece(None, '{"x"', index=0),
            piece(None, '{"y":', index=1),
            piece(None, ":1}", index=0),
            piece(None, "[2]}", index=1),
        ),
        TWO,
    ),
    "interleaved by id": (
        each(
            piece("f", '{"x"', id="a"),
            piece("g", '{"y":', id="b"),
            piece(None, ":1}", id="a"),
            piece(None, "[2]}", id="b"),
        ),
        TWO,
    ),
    "interleaved, and the name again": (
        each(piece("f", '{"x"', index=0), piece("g", G, index=1), piece("f", ":1}", index=0)),
        TWO,
    ),
    "a tool's name as the id": (each(piece("f", F, index=0, id="f"), piece("f", F, index=1, id="f")), [*ONE, *ONE]),
    "an index in words": (each(piece("f", F, index="0"), piece("g", G, index="1")), TWO),
    "a null beside": (each(piece("f", F, id=None, index=None, type=None)), ONE),
    "numbers as ids": (each(piece("f", '{"x"', id=7), piece(None, ":1}", id=7)), ONE),
    "no arguments": (each(piece("f", index=0, id="a"), piece("f", index=1, id="b")), [("f", ""), ("f", "")]),
    "blanks after the arguments": (each(piece("f", F, index=0), piece(None, "\n", index=0)), [("f", F + "\n")]),
}


def calls_in(events: list[Event]) -> list[tuple[str, str]]:
    """Name and arguments of every call that has ended, in order."""
    fold = Fold()
    for event in events:
        fold.add(event)
    assert all(call.complete for call in fold.tools)
    assert len({call.id for call in fold.tools}) == len(fold.tools)
    return [(call.name, call.arguments) for call in fold.tools]


@EVERY_CHAT
@pytest.mark.parametrize("case", UNDERSTOOD)
@pytest.mark.parametrize("reason", ["tool_calls", "stop"])
async def test_pieces_find_their_call(build: Build, case: str, reason: str) -> None:
    """And an answer that ends with "stop" after a call is one that wants tools to run."""
    deltas, wanted = UNDERSTOOD[case]
    async with Raw(pieces=[*(chunk(tool_calls=delta) for delta in deltas), chunk(reason), DONE]) as upstream:
        events = await joined_answer(build(upstream))
    found = [(name, json.dumps(json.loads(text or "{}"))) for name, text in calls_in(events)]
    assert found == [(name, json.dumps(json.loads(text or "{}"))) for name, text in wanted]
    assert events[-1] == Finish("tool_calls")


GARBLED: dict[str, list[list[Piece]]] = {
    "never a name": each(piece(None, F, index=0, id="a")),
    "an id alone": each(piece(id="a", index=0)),
    "an empty name": each(piece("", F, index=0, id="a")),
    "a name that is no text": each({"index": 0, "id": "a", "function": {"name": ["f"], "arguments": F}}),
    "two values in one piece": each(piece("f", F + F, index=0)),
    "a second value for a call": each(piece("f", F, index=0), piece(None, F, index=0)),
    "a second value for a call that has ended": each(
        piece("f", F, index=0), piece("g", G, index=1), piece(None, F, index=0)
    ),
    "a value and half of another": each(piece("f", F, index=0), piece(None, '{"x"', index=0)),
}


@EVERY_CHAT
@pytest.mark.parametrize("case", GARBLED)
async def test_no_call_that_ends_is_nameless_or_has_two_values(build: Build, case: str) -> None:
    """Such a call is the provider's mistake, after the text before it."""
    pieces = [chunk(content="Let me see"), *(chunk(tool_calls=delta) for delta in GARBLED[case]), ENDING]
    async with Raw(pieces=pieces) as upstream:
        events, failure = await until_failure(build(upstream))
    assert failure.code == "provider_garbled"
    assert events[0] == TextDelta("Let me see")
    assert not any(isinstance(event, ToolCallStart) and not event.name for event in events)
    ended = [event.id for event in events if isinstance(event, ToolCallEnd)]
    assert len(ended) == (1 if "has ended" in case else 0) or ended == []


@EVERY_CHAT
@pytest.mark.parametrize("arguments", ['{"x":', "not JSON", '{"x":1}}', "[1", '{"x":1,}'])
async def test_a_call_whose_arguments_are_no_json_is_passed_on_and_not_cached(build: Build, arguments: str) -> None:
    """A model wrote them; asked again, it may write better ones."""
    async with Raw(pieces=[chunk(tool_calls=[piece("f", arguments, index=0, id="a")]), ENDING]) as upstream:
        events = await joined_answer(build(upstream))
    assert calls_in(events) == [("f", arguments)]
    assert isinstance(events[-1], Finish)
    assert not is_admissible(events[-1])


@EVERY_CHAT
async def test_a_function_call_of_the_older_kind_is_a_tool_call(build: Build) -> None:
    """Some servers still answer with one."""
    pieces = [chunk(function_call={"name": "f", "arguments": ""}), chunk(function_call={"arguments": F})]
    async with Raw(pieces=[*pieces, chunk("function_call"), DONE]) as upstream:
        events = await joined_answer(build(upstream))
    assert (calls_in(events), events[-1]) == (ONE, Finish("tool_calls"))


@EVERY_CHAT
async def test_calls_that_are_no_calls_are_skipped(build: Build) -> None:
    """The text beside them is whole."""
    oddities: list[Any] = ["f", {"name": "f"}, [None, 1, "f"], [{}], [{"function": None}], 7]
    for calls in oddities:
        pieces = [chunk(content="Hi", tool_calls=calls), chunk("stop"), DONE]
        async with Raw(pieces=pieces) as upstream:
            assert await joined_answer(build(upstream)) == [TextDelta("Hi"), Finish("stop")]


@EVERY_CHAT
async def test_a_character_that_is_cut_within_arguments_is_whole(build: Build) -> None:
    """The halves of a surrogate pair come in two pieces."""
    whole = [
        json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [piece(name, text, index=0)]}}]})
        for name, text in (("f", '{"a":"\ud83d'), (None, '\ude00"}'))
    ]
    async with Raw(pieces=[*(f"data: {text}\n\n".encode() for text in whole), ENDING]) as upstream:
        assert calls_in(await joined_answer(build(upstream))) == [("f", '{"a":"😀"}')]


@EVERY_CHAT
async def test_calls_in_a_whole_message_are_told_once(build: Build) -> None:
    """Whether deltas have told them, a part of them or none."""
    calls = [piece("f", F, id="a"), piece("g", G, id="b")]
    final = line({"choices": [{"index": 0, "message": {"tool_calls": calls}, "finish_reason": "tool_calls"}]})
    for told in (
        [],
        [[piece("f", '{"x"', index=0, id="a")]],
        each(piece("f", F, index=0, id="a"), piece("g", G, index=1, id="b")),
    ):
        async with Raw(pieces=[*(chunk(tool_calls=delta) for delta in told), final, DONE]) as upstream:
            events = await joined_answer(build(upstream))
        assert (calls_in(events), events[-1]) == (TWO, Finish("tool_calls"))
