"""What newer versions of Headwater store and send: this version passes it on or skips it, and never fails."""

import json
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.answer import Answer, Fold, fold
from headwater.dialects.native.reader import NativeReader
from headwater.dialects.text.dialect import TextReader
from headwater.entries import SCHEMA, Entry, decode, json_of, record, restore, restore_lines, unknown_ending
from headwater.errors import StoreError
from headwater.events import Ending, Error, Event, Finish, Metadata, Start, TextDelta, ToolCallDelta, Unknown, parts
from headwater.offsets import Offset

HERE = Offset(1, 7)
SOURCE = b'{"type":"source","url":"https://example.org/\xc3\xa9","rank":1.50,"nested":{"b":[1],"a":null}}'
"""An event of a newer version, in a form that encoding it again would change."""


def stored(event: bytes, schema: int = SCHEMA, more: bytes = b"") -> bytes:
    """A stored entry as some version might write it."""
    return b"[%d,0.25,%b%b]" % (schema, event, more)


def test_an_event_of_an_unknown_type_is_read_and_passed_on_byte_for_byte() -> None:
    """Whatever is in it; a reader of the log gets it as it lies in the store."""
    entry = restore(HERE, stored(SOURCE))

    assert entry == Entry(HERE, 0.25, Unknown("source", SOURCE), stored(SOURCE))
    assert json_of(entry) == SOURCE
    assert record(HERE, 0.25, entry.event) == entry


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


names = st.text().filter(lambda name: name != "type")


@given(st.dictionaries(names, json_values, max_size=4), st.integers(1, 9), st.lists(json_values, max_size=2))
def test_any_event_of_any_newer_version_survives(fields: dict[str, object], schema: int, more: list[object]) -> None:
    """One by one and among others; with elements that a newer schema appends to the entry."""
    event = json.dumps({"type": "step", **fields}).encode()
    appended = b"".join(b"," + json.dumps(value).encode() for value in more) if schema > SCHEMA else b""
    line, plain = stored(event, schema, appended), record(Offset(1, 6), 0.2, TextDelta("a"))

    entry = restore(HERE, line)
    assert entry.event == Unknown("step", event)
    assert json_of(entry) == event
    assert restore_lines(Offset(1, 6), [plain.data, line]) == [plain, entry]


def test_fields_that_a_newer_version_adds_to_a_known_event_reach_the_reader() -> None:
    """They are ignored here, and kept in what is sent."""
    event = b'{"type":"text-delta","text":"a","language":"en"}'
    for line in (stored(event), stored(event, SCHEMA + 1, b',{"node":3}')):
        entry = restore(HERE, line)
        assert entry.event == TextDelta("a")
        assert json_of(entry) == event
        assert NativeReader("m").feed([entry]) == b"data: " + event + b"\nid: 1-7.m\n\n"


@pytest.mark.parametrize(
    "broken",
    [
        stored(b'{"type":"text-delta","text":"\xff"}'),
        stored(b'{"type":"source","url":"\xff"}'),
        stored(b'{"type":"source","deep":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),  # deeper than any Python reads
        stored(b'{"type":"text-delta"}'),
        stored(b'{"type":"text-delta","words":["a"]}', SCHEMA + 1),
        stored(b'{"type":7}'),
        stored(b'{"text":"a"}'),
        stored(b"{}"),
        stored(b'"source"'),
        stored(SOURCE, 0),
        stored(SOURCE, -1),
        stored(SOURCE)[:-1],
        b'["1",0.25,' + SOURCE + b"]",
        b"[1," + SOURCE + b"]",
        b"[1,0.25]",
        SOURCE,
    ],
    ids=lambda line: line[:48].decode("ascii", "replace"),
)
def test_what_no_version_writes_is_damage(broken: bytes) -> None:
    """Text that cannot be read is never skipped, whatever schema it claims: a part would look like the whole."""
    with pytest.raises(StoreError, match="entry 1-7 cannot be read"):
        restore(HERE, broken)
    with pytest.raises(StoreError, match="entry 1-7 cannot be read"):
        restore_lines(Offset(1, 6), [stored(SOURCE), broken])


def test_a_frame_of_the_native_dialect_is_read_likewise() -> None:
    """That is what a client does; text that it cannot read is an error there too."""
    assert decode(b'{"type":"finish","reason":"stop","mood":"good"}') == Finish("stop")
    assert decode(SOURCE) == Unknown("source", SOURCE)
    for broken in (b'{"type":"text-delta"}', b"[]", b"{}", b"hello", b"\xff", b'{"type":"source","url":"\xff"}'):
        with pytest.raises(ValueError, match=r"."):
            decode(broken)


def test_every_dispatch_knows_what_to_do_with_an_unknown_event() -> None:
    """Native passes it on, text and the fold skip it, and it never ends an answer."""
    log = [record(Offset(1, 1), 0.0, Start("m", "x")), restore(Offset(1, 2), stored(SOURCE))]
    unknown = log[1].event

    assert list(parts(unknown)) == [unknown]
    assert NativeReader("m").feed([log[1]]) == b"data: " + SOURCE.replace(b"\xc3\xa9", rb"\u00e9") + b"\nid: 1-2.m\n\n"
    assert TextReader().feed([log[1]]) == b""
    assert not isinstance(unknown, Ending)
    answer = fold(log)
    assert (answer.state, answer.ending, answer.timing.first_token) == ("open", None, None)
    assert msgspec.structs.replace(answer, offset=Offset(1, 1), timing=fold(log[:1]).timing) == fold(log[:1])
    assert (answer.offset, answer.timing.duration) == (Offset(1, 2), 0.25)


def test_an_unknown_event_that_ends_a_log_is_followed_by_an_error_without_an_id() -> None:
    """The error is no entry of the log: no reader can resume after it, and the state has the offset that is stored."""
    last = restore(Offset(1, 2), stored(b'{"type":"pause","until":"tomorrow"}'))
    ending = unknown_ending(last)

    assert isinstance(ending.event, Error)
    assert (ending.event.code, ending.event.retryable, ending.offset, ending.at) == (
        "newer_version",
        False,
        last.offset,
        0.25,
    )
    frame = NativeReader("m").feed([ending])
    assert frame.startswith(b'data: {"type":"error","code":"newer_version",')
    assert (fold([last, ending]).state, fold([last, ending]).offset) == ("failed", last.offset)


def test_events_have_types_of_their_own() -> None:
    """Versions distinguish events by their type."""
    kinds = [kind for kind in get_args(Event) if kind is not Unknown]
    types = [kind.__struct_config__.tag for kind in kinds]
    assert len(set(types)) == len(types) == 12
    assert set(get_args(Ending)) < set(kinds)


def test_an_unknown_event_is_a_value() -> None:
    """Equal to the same event, and to no other."""
    one, same, other = Unknown("a", b'{"type":"a"}'), Unknown("a", b'{"type":"a"}'), Unknown("a", b'{"type":"a","b":1}')
    assert one == same != other
    assert len({one, same, other}) == 2
    assert "a" in repr(one)
    assert one != ToolCallDelta("a", "b")


def test_an_event_that_is_not_json_is_refused() -> None:
    """A model of the user's own may put anything into its metadata."""
    with pytest.raises(TypeError, match="cannot hold 'object'"):
        record(HERE, 0, Metadata({"a": object()}))


def test_a_continued_fold_skips_it_too() -> None:
    """Also after an answer that is known."""
    folding = Fold(Answer(text="a"))
    folding.add(Unknown("source", SOURCE))
    folding.add(TextDelta("b"))
    assert folding.answer().text == "ab"
