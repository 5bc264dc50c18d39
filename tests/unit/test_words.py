"""Invariants of pure code: offsets, stored entries, keys and cache directives."""

import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater import offsets
from headwater.cache.key import Tokens, fingerprint, log_id
from headwater.cache.policy import parse
from headwater.dialects import sse
from headwater.entries import record, restore, restore_lines
from headwater.errors import RequestError, StoreError
from headwater.events import (
    MAX_EVENT,
    Error,
    Event,
    Finish,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolResult,
    parts,
)
from headwater.offsets import ORIGIN, Offset
from headwater.prompt import Message, MessageToolCall, Parameters, Prompt

numbers = st.integers(0, 999_999_999)


@given(numbers, numbers)
def test_an_offset_parses_to_what_was_written(epoch: int, sequence: int) -> None:
    """A client sends back the id that it received."""
    assert offsets.parse(str(Offset(epoch, sequence))) == Offset(epoch, sequence)


@given(st.text())
def test_a_malformed_offset_is_refused(written: str) -> None:
    """Offsets come from clients and end in store queries."""
    try:
        found = offsets.parse(written)
    except RequestError:
        return
    assert str(found) == written


def test_an_ending_by_another_process_sorts_after_everything_the_writer_sent() -> None:
    """So the ending is ahead of every reader of a dead writer."""
    assert ORIGIN < Offset(1, 1) < Offset(1, 10**8) < Offset(2, 4)


@given(st.text(), st.sampled_from([TextDelta, ReasoningDelta]))
def test_a_stored_entry_reads_back_as_it_was(text: str, kind: type[TextDelta]) -> None:
    """For any text that a model can produce."""
    entry = record(Offset(1, 2), 0.5, kind(text))

    assert restore(Offset(1, 2), entry.data) == entry


def test_an_unpaired_surrogate_becomes_a_replacement_character() -> None:
    """A provider's JSON can hold one, UTF-8 cannot, and the answer must not fail."""
    assert record(Offset(1, 1), 0, TextDelta("a\ud83d")).event == TextDelta("a\ufffd")
    assert record(Offset(1, 1), 0, ToolResult("c", "\ude00b")).event == ToolResult("c", "\ufffdb")


@pytest.mark.parametrize("broken", [b"", b"{}", b"[1,0,{}]", b'[1,0,{"type":"text-delta"}]', b"\xff"])
def test_damaged_bytes_are_a_store_error(broken: bytes) -> None:
    """And never an empty answer."""
    with pytest.raises(StoreError):
        restore(Offset(1, 1), broken)


@given(st.lists(st.text(), max_size=5))
def test_consecutive_entries_read_back_as_they_were(texts: list[str]) -> None:
    """Restored together, they are the same as one by one."""
    entries = [record(Offset(2, 3 + i), i / 10, TextDelta(text)) for i, text in enumerate(texts)]

    assert restore_lines(Offset(2, 3), [entry.data for entry in entries]) == entries


@pytest.mark.parametrize("broken", [b"", b" ", b"{}", b"[1,0,{}]", b"\xff"])
def test_the_error_names_the_damaged_entry_among_others(broken: bytes) -> None:
    """So that an operator finds it in the store."""
    whole = record(Offset(1, 1), 0.5, TextDelta("a")).data
    with pytest.raises(StoreError, match="entry 1-8 cannot be read"):
        restore_lines(Offset(1, 7), [whole, broken, whole])


@pytest.mark.parametrize("character", ["x", "é", "\U0001f600", "\x00", '"'])
@pytest.mark.parametrize("kind", ["text", "reasoning", "arguments", "output"])
def test_an_event_that_is_too_large_is_split_into_parts_that_add_up_to_it(kind: str, character: str) -> None:
    """No frame exceeds the limit, however JSON escapes the text."""
    text = character * 100_000
    made: dict[str, Event] = {
        "text": TextDelta(text),
        "reasoning": ReasoningDelta(text),
        "arguments": ToolCallDelta("c", text),
        "output": ToolResult("c", text),
    }
    pieces = list(parts(made[kind]))

    whole = "".join(getattr(piece, "text", None) or getattr(piece, kind) for piece in pieces)
    assert whole == text
    assert all(len(sse.frame(piece, Offset(1, 1))) <= MAX_EVENT for piece in pieces)
    assert all(len(record(Offset(1, 1), 0, piece).data) <= MAX_EVENT for piece in pieces)


PROMPT = Prompt(model="m", messages=[Message("user", "Hi")], extra={"b": 1, "a": {"y": 2, "x": 1}})


def key(prompt: Prompt = PROMPT, **other: str) -> str:
    """The fingerprint, with one input changed."""
    inputs = {"tenant": "t", "upstream": "u", "salt": ""} | other
    return fingerprint(prompt, secret=b"s", tenant=inputs["tenant"], upstream=inputs["upstream"], salt=inputs["salt"])


def test_the_key_does_not_depend_on_the_order_of_fields() -> None:
    """JSON objects are unordered."""
    assert key() == key(msgspec.structs.replace(PROMPT, extra={"a": {"x": 1, "y": 2}, "b": 1}))


def test_everything_that_decides_an_answer_is_in_the_key() -> None:
    """Checked for every field of the struct, so a new field fails here until it is listed."""
    changed: dict[str, object] = {
        "kind": "completion",
        "model": "n",
        "messages": [Message("user", "Ho")],
        "parameters": Parameters(temperature=0.0),
        "tools": [{"type": "function"}],
        "extra": {},
    }
    assert {*changed, "carried"} == set(Prompt.__struct_fields__)
    keys = {key(msgspec.structs.replace(PROMPT, **{name: value})) for name, value in changed.items()}
    others = {key(tenant="t2"), key(upstream="u2"), key(salt="k")}
    secret = fingerprint(PROMPT, secret=b"other", tenant="t", upstream="u")

    assert len(keys | others | {key(), secret}) == len(changed) + 5


def test_what_is_carried_is_not_in_the_key() -> None:
    """Nor is its absence. Versions share a store while one replaces the other: other keys need a new `VERSION`."""
    assert key(msgspec.structs.replace(PROMPT, carried={"user": "ann"})) == key()
    assert key() == "13e94b775790499e83844727d16dafc31c4d643a64818e7b4d3cbe9b8df83a8b"


@given(st.text(), st.text(), st.text(), st.text())
def test_the_key_keeps_neighbouring_fields_apart(a: str, b: str, c: str, d: str) -> None:
    """Two requests share a key only if every part of them is equal."""
    try:
        same = key(tenant=a, upstream=b) == key(tenant=c, upstream=d)
    except UnicodeEncodeError:
        return
    assert same == ((a, b) == (c, d))


def test_tokens_are_unique_also_across_a_fork() -> None:
    """Each has the requested size, and a forked process does not repeat its parent's."""
    tokens = Tokens()
    made = {tokens.new(12) for _ in range(1000)}
    assert {len(token) for token in made} == {24}
    assert len(made) == 1000
    # In a process without threads, because threads do not survive a fork and pytest may have some.
    forked = (
        "import os; from headwater.cache.key import Tokens; tokens = Tokens(); child = os.fork() == 0; "
        "os.write(1, tokens.new(12).encode() + b'\\n'); child or os.wait()"  # one write, which is atomic
    )
    parent, child = subprocess.run([sys.executable, "-c", forked], capture_output=True, check=True).stdout.split()
    assert parent != child


def test_a_logs_id_begins_with_a_tag_of_its_name() -> None:
    """So both lie on one shard of a Redis cluster."""
    assert log_id(key(), "Ab_c-9").startswith(key()[:12] + "-")
    assert log_id(key(), "Ab_c-9").endswith("-abc9")


@given(st.text(max_size=60))
def test_any_cache_control_header_is_read_or_refused(header: str) -> None:
    """Headers come from clients."""
    try:
        directives = parse(header)
    except RequestError:
        return
    assert directives.max_age is None or directives.max_age >= 0


def test_the_directives_of_a_request_are_read_as_http_says() -> None:
    """Case and spaces do not matter, unknown directives are ignored, and `max-age=0` means `no-cache`."""
    assert parse(None) == parse("") == parse("private, foo=bar")
    assert parse("No-Cache").no_cache
    assert parse('max-age="60" , no-store').max_age == 60
    assert parse("max-age=60, no-store").no_store
    assert parse("max-age=0").no_cache
    assert parse("only-if-cached").only_if_cached
    assert parse('Match = "exact"').exact
    assert parse("max-stale").max_stale == parse("max-stale=99999999999999").max_stale == 10**9


def test_a_cache_control_of_many_spaces_takes_no_time() -> None:
    """It is read on the event loop, where everybody waits for it."""
    assert parse(f'a={" " * 30_000}""x, no-cache').no_cache


def test_the_ending_decides_the_state_and_whether_an_answer_is_cached() -> None:
    """Only whole answers are: not a truncated, stopped or failed one."""
    from headwater.events import Stop, is_admissible, state_after

    table: list[tuple[Finish | Stop | Error, str, bool]] = [
        (Finish("stop"), "finished", True),
        (Finish("tool_calls"), "finished", True),
        (Finish("length"), "finished", False),
        (Finish("content_filter"), "finished", False),
        (Stop("me"), "stopped", False),
        (Error("x", "y"), "failed", False),
        (Error("lost", "y"), "lost", False),
    ]
    for ending, state, whole in table:
        assert (state_after(ending), is_admissible(ending)) == (state, whole)


def after_a_call(id: str, **provider: str) -> Prompt:
    """The second turn of a chat in which the model called a tool."""
    call = MessageToolCall(id, "look", "{}")
    turns = [Message("assistant", tool_calls=[call], provider=provider), Message("tool", "42", tool_call_id=id)]
    return Prompt(model="m", messages=[Message("user", "Hi"), *turns])


def test_a_follow_up_is_the_same_question_however_its_calls_are_numbered() -> None:
    """A replayed call has a fresh id, and only some clients send a model's reasoning back."""
    keys = {
        fingerprint(prompt, secret=b"s", tenant="t", upstream="u")
        for prompt in (after_a_call("call_1"), after_a_call("call_1_ab12"), after_a_call("x", reasoning_content="Hm"))
    }
    assert len(keys) == 1


def test_a_follow_up_is_the_same_question_however_its_arguments_are_written() -> None:
    """Clients that hold them as an object write their JSON anew; what is no JSON counts as the text it is."""

    def key(arguments: str) -> str:
        turn = Message("assistant", tool_calls=[MessageToolCall("c", "look", arguments)])
        return fingerprint(Prompt(model="m", messages=[turn]), secret=b"s", tenant="t", upstream="u")

    assert len({key(same) for same in ('{"q":"\u00e9","n":1}', ' {"n": 1,\n"q": "\\u00e9"}')}) == 1
    assert key("") == key("{}")
    numbers = "1", "1.0", "true", '"1"', "[1]", "123456789012345678901234", "123456789012345678901235"
    different = " ", "{", "{ ", "{}", '{"a":1}', '{"a":"1"}', "1e400", "1e401", "[" * 5000, *numbers
    assert len({key(other) for other in different}) == len(different)


def test_which_call_a_result_belongs_to_still_counts() -> None:
    """Two results that change places are another question."""
    calls = [MessageToolCall("a", "look", "{}"), MessageToolCall("b", "look", "{}")]

    def answered(*ids: str) -> str:
        results = [Message("tool", str(n), tool_call_id=id) for n, id in enumerate(ids)]
        messages = [Message("user", "Hi"), Message("assistant", tool_calls=calls), *results]
        return fingerprint(Prompt(model="m", messages=messages), secret=b"s", tenant="t", upstream="u")

    assert answered("a", "b") != answered("b", "a")
