"""The parser of Server-Sent Events, compared with the algorithm of the standard."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.client.frames import Frame, Parser

DATA = ["data: a", "data:b", "data:  c", "data", "data:", "data: \u2028é\x85"]
OTHER = ["id: 1-2", "id:", "id: x\0y", "retry: 50", "retry: 5s", ": hush", "event: tick", "unknown: 1", "", "", ""]
LINES = st.sampled_from([*DATA, *OTHER])
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
STREAMS = st.lists(st.tuples(LINES, ENDS), max_size=20).map(lambda lines: "".join(line + end for line, end in lines))


def read(*chunks: bytes) -> tuple[list[Frame], int | None]:
    parser = Parser()
    frames = [frame for chunk in chunks for frame in parser.feed(chunk)]
    return frames, parser.retry


def by_the_book(text: str) -> tuple[list[Frame], int | None]:
    """The algorithm of the standard, step by step, over a whole text."""
    frames: list[Frame] = []
    data, id, retry = "", None, None
    *lines, _ = re.split("\r\n|\n|\r", text)
    for line in lines:
        if line == "":
            if data != "":
                frames.append(Frame(data.removesuffix("\n"), id))
            data, id = "", None
            continue
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "data":
            data += value + "\n"
        elif name == "id" and "\0" not in value:
            id = value
        elif name == "retry" and re.fullmatch("[0-9]+", value):
            retry = int(value)
    return frames, retry


@given(STREAMS, st.booleans(), st.lists(st.integers(0, 400)))
def test_the_result_does_not_depend_on_the_chunks(text: str, marked: bool, cuts: list[int]) -> None:
    """For any stream, cut anywhere, also inside a character or between CR and LF."""
    whole = (b"\xef\xbb\xbf" if marked else b"") + text.encode()
    places = [0, *sorted(cut % (len(whole) + 1) for cut in cuts), len(whole)]
    chunks = [whole[begin:end] for begin, end in pairwise(places)]

    assert read(*chunks) == by_the_book(text)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_no_bytes_break_the_parser(noise: bytes, cut: int) -> None:
    """Bytes that are not UTF-8 parse to the same frames in one piece and in two."""
    assert read(noise[:cut], noise[cut:]) == read(noise)


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        (b"data: a\ndata: b\n\n", ["a\nb"]),
        (b"data\n\ndata\ndata\n\ndata:", ["", "\n"]),
        (b"data:a\n\ndata: a\n\n", ["a", "a"]),
        (b"\xef\xbb\xbfdata: 1\n\n\xef\xbb\xbfdata: 2\n\n", ["1"]),
        (b": a comment\nid: 1\n\n", []),
        (b"id: 1\n:\n:\ndata: x\n\n", ["x"]),
        (b"data: half", []),
        (b"data: half\n", []),
    ],
)
def test_the_examples_of_the_standard(stream: bytes, data: list[str]) -> None:
    """Several data lines, empty ones, a space, a byte order mark, comments, and a truncated frame at the end."""
    assert [frame.data for frame in read(stream)[0]] == data


def test_a_blank_line_dispatches_before_the_line_feed_that_may_follow() -> None:
    """So a stream with CR line ends is not one event late."""
    parser = Parser()

    assert parser.feed(b"data: x\r\r") == [Frame("x")]
    assert parser.feed(b"\n") == []


def test_an_id_belongs_to_its_frame_and_counts_only_with_the_whole_of_it() -> None:
    """A resume must bring a truncated frame again."""
    parser = Parser()

    assert parser.feed(b"id: 1-1\ndata: a\n\ndata: b\n\nid: 1-2\ndata: c\n") == [Frame("a", "1-1"), Frame("b")]
    assert parser.feed(b"\nid\ndata: d\n\n") == [Frame("c", "1-2"), Frame("d", "")]


def test_a_retry_of_a_million_digits_is_ignored() -> None:
    """Python refuses to parse it."""
    assert read(b"retry: 2000\n\nretry: " + b"9" * 10_000 + b"\n\n")[1] == 2000
