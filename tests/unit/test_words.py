"""Offsets, events, keys and cache words: pure, so their invariants are tested as such."""

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
    record,
    restore,
    restore_lines,
)
from headwater.offsets import ORIGIN, Offset
from headwater.prompt import Message, Parameters, Prompt

numbers = st.integers(0, 999_999_999)


@given(numbers, numbers)
def test_an_offset_reads_back_as_it_was_written(epoch: int, sequence: int) -> None:
    """What we hand out we take back."""
    assert offsets.parse(str(Offset(epoch, sequence))) == Offset(epoch, sequence)


@given(st.text())
def test_nothing_else_is_an_offset(written: str) -> None:
    """It comes from strangers and ends in store queries."""
    try:
        found = offsets.parse(written)
    except RequestError:
        return
    assert str(found) == written


def test_an_ending_by_another_comes_after_everything_the_writer_said() -> None:
    """Whatever a reader of the dead writer has seen, the ending is still ahead of it."""
    assert ORIGIN < Offset(1, 1) < Offset(1, 10**8) < Offset(2, 4)


@given(st.text(), st.sampled_from([TextDelta, ReasoningDelta]))
def test_a_stored_entry_reads_back_as_it_was(text: str, kind: type[TextDelta]) -> None:
    """Any text a model can produce."""
    entry = record(Offset(1, 2), 0.5, kind(text))

    assert restore(Offset(1, 2), entry.data) == entry


def test_half_of_a_surrogate_pair_becomes_a_replacement_character() -> None:
    """A provider's JSON can hold one; UTF-8 cannot, and the answer must not break over it."""
    assert record(Offset(1, 1), 0, TextDelta("a\ud83d")).event == TextDelta("a\ufffd")
    assert record(Offset(1, 1), 0, ToolResult("c", "\ude00b")).event == ToolResult("c", "\ufffdb")


@pytest.mark.parametrize("broken", [b"", b"{}", b"[1,0,{}]", b'[1,0,{"type":"text-delta"}]', b"\xff"])
def test_bytes_that_nobody_here_wrote_are_an_error_of_the_store(broken: bytes) -> None:
    """Never an empty answer."""
    with pytest.raises(StoreError):
        restore(Offset(1, 1), broken)


@given(st.lists(st.text(), max_size=5))
def test_entries_that_lie_together_read_back_as_they_were(texts: list[str]) -> None:
    """All at once is the same as one by one."""
    entries = [record(Offset(2, 3 + i), i / 10, TextDelta(text)) for i, text in enumerate(texts)]

    assert restore_lines(Offset(2, 3), [entry.data for entry in entries]) == entries


@pytest.mark.parametrize("broken", [b"", b" ", b"{}", b"[1,0,{}]", b"\xff"])
def test_one_broken_entry_among_others_is_named(broken: bytes) -> None:
    """Whoever looks for it in the store knows where."""
    whole = record(Offset(1, 1), 0.5, TextDelta("a")).data
    with pytest.raises(StoreError, match="entry 1-8 cannot be read"):
        restore_lines(Offset(1, 7), [whole, broken, whole])


@pytest.mark.parametrize("character", ["x", "é", "\U0001f600", "\x00", '"'])
@pytest.mark.parametrize("kind", ["text", "reasoning", "arguments", "output"])
def test_an_event_that_is_too_large_goes_in_parts_that_say_the_same(kind: str, character: str) -> None:
    """No frame passes the bound, however the text is written in JSON."""
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
    """The fingerprint with one thing changed."""
    asked = {"tenant": "t", "upstream": "u", "salt": ""} | other
    return fingerprint(prompt, secret=b"s", tenant=asked["tenant"], upstream=asked["upstream"], salt=asked["salt"])


def test_the_order_of_fields_makes_no_key_of_its_own() -> None:
    """JSON objects have none."""
    assert key() == key(msgspec.structs.replace(PROMPT, extra={"a": {"x": 1, "y": 2}, "b": 1}))


def test_everything_that_decides_an_answer_is_in_the_key() -> None:
    """Field by field over the closed struct, so that a new field is asked about here."""
    changed: dict[str, object] = {
        "kind": "completion",
        "model": "n",
        "messages": [Message("user", "Ho")],
        "parameters": Parameters(temperature=0.0),
        "tools": [{"type": "function"}],
        "extra": {},
    }
    assert set(changed) == set(Prompt.__struct_fields__)
    keys = {key(msgspec.structs.replace(PROMPT, **{name: value})) for name, value in changed.items()}
    others = {key(tenant="t2"), key(upstream="u2"), key(salt="k")}
    secret = fingerprint(PROMPT, secret=b"other", tenant="t", upstream="u")

    assert len(keys | others | {key(), secret}) == len(changed) + 5


@given(st.text(), st.text(), st.text(), st.text())
def test_fields_never_run_together(a: str, b: str, c: str, d: str) -> None:
    """Two requests share a key only when each part of them is the same."""
    try:
        same = key(tenant=a, upstream=b) == key(tenant=c, upstream=d)
    except UnicodeEncodeError:
        return
    assert same == ((a, b) == (c, d))


def test_no_token_comes_twice_nor_in_two_processes() -> None:
    """Each is new, of the size asked for, and a forked process does not repeat its parent's."""
    tokens = Tokens()
    made = {tokens.new(12) for _ in range(1000)}
    assert {len(token) for token in made} == {24}
    assert len(made) == 1000
    # In a process that has no threads, as pytest's may have: those do not survive a fork.
    forked = (
        "import os; from headwater.cache.key import Tokens; tokens = Tokens(); child = os.fork() == 0; "
        "os.write(1, tokens.new(12).encode() + b'\\n'); child or os.wait()"  # one write, which nothing comes between
    )
    parent, child = subprocess.run([sys.executable, "-c", forked], capture_output=True, check=True).stdout.split()
    assert parent != child


def test_a_logs_id_begins_with_a_tag_of_its_name() -> None:
    """That is what lets both lie on one shard of a cluster."""
    assert log_id(key(), "Ab_c-9").startswith(key()[:12] + "-")
    assert log_id(key(), "Ab_c-9").endswith("-abc9")


@given(st.text(max_size=60))
def test_any_cache_control_header_is_read_or_refused(header: str) -> None:
    """It comes from strangers."""
    try:
        directives = parse(header)
    except RequestError:
        return
    assert directives.max_age is None or directives.max_age >= 0


def test_the_directives_of_a_request_are_read_as_http_says() -> None:
    """Case and space do not matter, unknown ones are passed over, `max-age=0` asks afresh."""
    assert parse(None) == parse("") == parse("private, foo=bar")
    assert parse("No-Cache").no_cache
    assert parse('max-age="60" , no-store').max_age == 60
    assert parse("max-age=60, no-store").no_store
    assert parse("max-age=0").no_cache
    assert parse("only-if-cached").only_if_cached


def test_endings_tell_whether_an_answer_is_whole() -> None:
    """Only the model's own end is; a truncated one is not."""
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
