"""The fold of a log into one answer; the transcripts hold it and the browser's fold to the same results."""

import time
from collections.abc import Sequence

import msgspec
import pytest
from corpus import TRANSCRIPTS, Transcript

from headwater.answer import Answer, Fold, Timing, ToolCall, fold
from headwater.entries import Entry, record
from headwater.events import (
    Cached,
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
from headwater.offsets import ORIGIN, Offset

START = Start("m", "scripted")


def log(*events: Event) -> list[Entry]:
    """A log that was written at ten events a second."""
    return [record(Offset(1, sequence), sequence / 10, event) for sequence, event in enumerate(events, 1)]


def test_before_its_first_event_an_answer_is_open_and_empty() -> None:
    """Nothing is made up."""
    assert fold([]) == Answer()
    assert (fold([]).state, fold([]).offset, fold([]).timing) == ("open", ORIGIN, Timing(None, None))


def test_deltas_add_up_to_an_answer_and_its_ending_closes_it() -> None:
    """Every field of a plain answer."""
    usage = Usage(3, 2)
    events = (START, ReasoningDelta("h"), ReasoningDelta("m"), TextDelta("Hel"), TextDelta("lo"), Finish("stop", usage))

    assert fold(log(*events)) == Answer(
        id="m",
        model="scripted",
        state="finished",
        text="Hello",
        reasoning="hm",
        ending=Finish("stop", usage),
        usage=usage,
        offset=Offset(1, 6),
        timing=Timing(first_token=0.2, duration=0.6, first_text=0.4),
    )


def test_tool_calls_grow_side_by_side_and_a_result_in_parts_is_joined() -> None:
    """A result completes its call; a call without a result has no output, which is not the same as an empty one."""
    answer = fold(
        log(
            START,
            ToolCallStart("a", "look"),
            ToolCallStart("b", "leap"),
            ToolCallDelta("a", '{"x"'),
            ToolCallDelta("b", "{}"),
            ToolCallDelta("a", ":1}"),
            ToolResult("a", "one "),
            ToolResult("a", "two"),
            ToolCallEnd("b"),
            ToolCallStart("c", "rest"),
            ToolResult("c", ""),
        )
    )

    assert answer.tools == (
        ToolCall("a", "look", '{"x":1}', True, "one two"),
        ToolCall("b", "leap", "{}", True, None),
        ToolCall("c", "rest", "", True, ""),
    )


@pytest.mark.parametrize("event", [ToolCallDelta("z", "{}"), ToolCallEnd("z"), ToolResult("z", "1")])
def test_events_of_a_tool_call_that_never_began_are_ignored(event: Event) -> None:
    """As in the browser."""
    assert fold(log(START, event)).tools == ()


def test_metadata_is_merged_and_the_last_value_of_a_field_counts() -> None:
    """Fields of an earlier event stay."""
    assert fold(log(START, Metadata({"a": 1, "b": {"c": 2}}), Metadata({"b": 3}))).metadata == {"a": 1, "b": 3}


@pytest.mark.parametrize(
    "first",
    [TextDelta("a"), ReasoningDelta("a"), ToolCallStart("a", "look")],
)
def test_the_first_token_is_the_first_output_of_any_kind(first: Event) -> None:
    """An answer of reasoning and a tool call has one too; metadata is no token."""
    timing = fold(log(START, Metadata({"fitted": 1}), first, TextDelta("b"), Finish("tool_calls"))).timing

    first_text = 0.4 if isinstance(first, ReasoningDelta) else 0.3
    assert timing == Timing(first_token=0.3, duration=0.5, first_text=first_text)
    assert fold(log(START, Metadata({}), Error("x", "y"))).timing == Timing(None, 0.3)


@pytest.mark.parametrize(
    ("ending", "state"),
    [(Stop("ann"), "stopped"), (Error("provider", "down"), "failed"), (Error("lost", "gone"), "lost")],
)
def test_each_ending_has_its_state(ending: Stop | Error, state: str) -> None:
    """None of these looks finished."""
    answer = fold(log(START, TextDelta("a"), ending))
    assert (answer.state, answer.ending, answer.text, answer.usage) == (state, ending, "a", None)


def test_nothing_follows_an_ending() -> None:
    """Whatever comes later is delivered a second time, or not of this log."""
    whole = log(START, TextDelta("a"), Stop("ann"), TextDelta("b"), START, Finish("stop"))

    assert fold(whole) == fold(whole[:3])


def test_a_second_start_begins_the_answer_anew() -> None:
    """No text is doubled, and the timing is that of the replay."""
    once = log(START, ReasoningDelta("hm"), ToolCallStart("a", "look"), Metadata({"a": 1}), TextDelta("Hello"))

    assert fold([*once, *once]) == fold(once)


def test_an_answer_so_far_does_not_change_when_the_fold_goes_on() -> None:
    """An answer is a value."""
    folding = Fold()
    seen: list[Answer] = []
    events = log(START, TextDelta("a"), ToolCallStart("c", "x"), ToolCallDelta("c", "{"), Metadata({"k": 1}), Stop("s"))
    for entry in events:
        folding.feed(entry)
        seen.append(folding.answer())

    assert seen == [fold(events[: count + 1]) for count in range(len(events))]


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda transcript: transcript.name)
def test_a_known_answer_can_be_continued(transcript: Transcript) -> None:
    """Wherever the log is cut in two."""
    entries = transcript.entries
    for cut in range(len(entries) + 1):
        continued = Fold(fold(entries[:cut]))
        for entry in entries[cut:]:
            continued.feed(entry)
        assert continued.answer() == fold(entries)


def test_a_known_answer_keeps_its_question() -> None:
    """Conversations tell it to whoever asked in other words."""
    assert fold(log(Start("m", "scripted", cache=Cached("hit", matched="Hi?")), TextDelta("Hello"))).question == "Hi?"
    assert Fold(Answer(question="Hi?")).answer().question == "Hi?"


def test_folding_takes_time_in_proportion_to_the_log() -> None:
    """Thirty times the log may take a hundred and fifty times as long; with the square of its size it would be 900."""

    def seconds(entries: Sequence[Entry]) -> float:
        folding, begin = Fold(), time.process_time()
        for entry in entries:
            folding.feed(entry)
        folding.answer()
        return time.process_time() - begin

    piece = "word " * 20
    small = log(START, ToolCallStart("a", "x"), *[ToolCallDelta("a", piece), TextDelta(piece)] * 1_000)
    large = log(START, ToolCallStart("a", "x"), *[ToolCallDelta("a", piece), TextDelta(piece)] * 30_000)

    assert min(seconds(large) for _ in range(3)) < 150 * max(min(seconds(small) for _ in range(3)), 1e-4)


def test_an_answer_is_plain_data() -> None:
    """It goes to JSON and back, so that it can be kept."""
    answer = fold(log(START, ToolCallStart("a", "x"), TextDelta("é"), Metadata({"k": [1]}), Finish("stop", Usage(1))))

    assert msgspec.json.decode(msgspec.json.encode(answer), type=Answer) == answer


def test_a_log_whose_writer_died_at_once_is_lost_and_nothing_else() -> None:
    """Its only entry is the ending, which another process wrote."""
    answer = fold([record(Offset(2, 1), 15.0, Error("lost", "gone"))])
    assert (answer.id, answer.model, answer.state, answer.text) == (None, None, "lost", "")
    assert (answer.offset, answer.timing) == (Offset(2, 1), Timing(None, 15.0))
