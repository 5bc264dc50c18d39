"""What holds for every streaming dialect: its golden files, its frames, and that a cut and a resume lose nothing."""

import re
from collections.abc import Sequence

import pytest
from corpus import FOLDER, MESSAGE_ID, TRANSCRIPTS, Transcript
from hypothesis import given
from hypothesis import strategies as st
from spoken import ID_FIRST, NUMBERED, SPOKEN

from headwater.dialects.dialect import BEGINNING, Cursor
from headwater.entries import Entry, Page, record
from headwater.events import Error, Finish, Stop
from headwater.offsets import ORIGIN, parse

_ID = re.compile(rb"^id: ([0-9.a-f-]+)$", re.MULTILINE)

each_dialect = pytest.mark.parametrize("name", SPOKEN)
each_transcript = pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda transcript: transcript.name)


def written(name: str, entries: Sequence[Entry], cursor: Cursor = BEGINNING, *, page: int = 1) -> bytes:
    """The stream from a cursor on, read in pages of so many entries."""
    reader = SPOKEN[name](MESSAGE_ID, cursor)
    rest = [entry for entry in entries if entry.offset > reader.begin]
    pages = [Page(rest[i : i + page]) for i in range(0, len(rest), page)]
    return reader.open() + b"".join(reader.feed(each) for each in pages)


def blocks(body: bytes) -> list[bytes]:
    """The frames of a stream, each with its blank line."""
    return [block + b"\n\n" for block in body.split(b"\n\n") if block]


def data(body: bytes) -> list[bytes]:
    """The frames that carry data, without what the first of a response has besides."""
    return [block.removeprefix(b"retry: 2000\n") for block in blocks(body) if b"data: " in block]


@each_dialect
@each_transcript
def test_the_bytes_are_those_of_the_golden_file(
    name: str, transcript: Transcript, request: pytest.FixtureRequest
) -> None:
    """A changed byte of a dialect is a decision, not an accident."""
    golden, body = FOLDER / f"{transcript.name}.{name}.sse", written(name, transcript.entries)
    if request.config.getoption("--write-transcripts"):
        golden.write_bytes(body)

    assert body == golden.read_bytes()


@each_dialect
@each_transcript
def test_every_frame_is_one_line_of_ascii_data(name: str, transcript: Transcript) -> None:
    """Clients fail on frames without data, on CRLF, and at characters that some take for a line's end.

    The id is the last line: fetch-event-source takes it when it has that line, and would lose an event cut after it.
    TanStack AI takes an id for the data after it, so in its dialect the id is the first line.
    """
    body = written(name, transcript.entries)

    assert body.isascii()
    assert not {b"\r", b"\0", b"\1"} & {body[i : i + 1] for i in range(len(body))}
    for block in blocks(body):
        lines = block.strip(b"\n").split(b"\n")
        assert [line[:6] for line in lines].count(b"data: ") == 1
        others = lines[1:] if name in ID_FIRST else lines[:-1]
        assert b"id: " not in [line[:4] for line in others]


@each_dialect
@each_transcript
@given(pages=st.data())
def test_a_cut_stream_that_resumes_anywhere_is_the_uncut_one(
    name: str, transcript: Transcript, pages: st.DataObject
) -> None:
    """The client keeps its whole frames up to the last id, and comes back with that."""
    uncut = data(written(name, transcript.entries))
    body = written(name, transcript.entries)
    cut = body[: pages.draw(st.integers(0, len(body)))]
    whole = cut[: cut.rfind(b"\n\n") + 2] if b"\n\n" in cut else b""
    ids = list(_ID.finditer(whole))
    kept = whole[: whole.index(b"\n\n", ids[-1].start()) + 2] if ids else b""
    after = parse(ids[-1][1].decode()) if ids else ORIGIN
    cursor = Cursor(after) if ids else BEGINNING

    resumed = written(name, transcript.entries, cursor, page=pages.draw(st.integers(1, 7)))

    assert data(kept) + data(resumed) == uncut


@pytest.mark.parametrize("name", sorted(NUMBERED))
@each_transcript
def test_a_stream_that_resumes_after_any_number_of_frames_is_the_uncut_one(name: str, transcript: Transcript) -> None:
    """The count is a pure function of the log, so the client needs no id. For a seam that rewinds see `test_seams`."""
    entries = [entry for entry in transcript.entries if entry.offset.epoch == 1]
    uncut = data(written(name, entries))
    for count in range(len(uncut) + 1):
        assert data(written(name, entries, Cursor(frames=count), page=3)) == uncut[count:]


@each_dialect
@each_transcript
def test_readers_of_one_page_get_the_bytes_that_a_reader_alone_gets(name: str, transcript: Transcript) -> None:
    """Frames are encoded once and shared; only the gaps for ids are filled anew."""
    pages = [Page(transcript.entries[i : i + 3]) for i in range(0, len(transcript.entries), 3)]
    together = [SPOKEN[name](id, BEGINNING) for id in (MESSAGE_ID, f"{MESSAGE_ID}~abc123")]
    shared = [b"".join(bodies) for bodies in zip(*[[r.feed(page) for r in together] for page in pages], strict=True)]
    alone = SPOKEN[name](f"{MESSAGE_ID}~abc123", BEGINNING)

    assert shared[0] == b"".join(SPOKEN[name](MESSAGE_ID, BEGINNING).feed([*transcript.entries]) for _ in [0])
    assert shared[1] == alone.feed([*transcript.entries])


@each_dialect
@each_transcript
def test_only_an_answer_that_finished_ends_as_one(name: str, transcript: Transcript) -> None:
    """The bytes of a broken answer differ from those of the same answer when it finishes."""
    last = transcript.entries[-1]
    if isinstance(last.event, Stop | Error):
        finished = [*transcript.entries[:-1], record(last.offset, last.at, Finish("stop"))]
        assert written(name, transcript.entries) != written(name, finished)
