"""A log that a second server goes on with: what a reader gets who has less, as much or more than the first one stored.

The words of the log are numbered. A reader who came back, or whose server lost the log while it read, must have each
word once and in order, or be told that the answer is lost: never a skipped word, and never one twice.
"""

import re
from collections.abc import Callable, Sequence

import pytest
from corpus import MESSAGE_ID
from hypothesis import given
from hypothesis import strategies as st
from serving import parse
from spoken import NUMBERED, SPOKEN

from headwater.dialects.dialect import BEGINNING, Cursor, Reader, Unspeakable
from headwater.dialects.text.dialect import TextReader
from headwater.entries import Entry, Page, record
from headwater.errors import Diverged
from headwater.events import Continued, Error, Event, Start, TextDelta
from headwater.offsets import ORIGIN, Offset

WORD = re.compile(rb"(?:old|new)\d+")
_NUMBER = re.compile(rb'"sequence_number":(\d+)')
READERS: dict[str, Callable[[str, Cursor], Reader]] = {**SPOKEN, "text": lambda _, cursor: TextReader(cursor.after)}

each_dialect = pytest.mark.parametrize("name", READERS)
FOLDS = [name for name in READERS if name != "native"]


def log(epoch: int, begin: int, events: Sequence[Event]) -> list[Entry]:
    """Consecutive entries of one epoch."""
    return [record(Offset(epoch, n), n / 10, event) for n, event in enumerate(events, begin)]


class Story:
    """What the first server stored and what it showed, and what the second one made of the log."""

    def __init__(self, stored: int, ahead: int, more: int) -> None:
        words = [TextDelta(f"old{n} ") for n in range(stored + ahead)]
        self.shown = log(1, 1, [Start(MESSAGE_ID, "m", 1), *words])
        self.stored = self.shown[: stored + 1]
        last = self.stored[-1].offset
        seam = Continued("server", "prompt", str(last), rewind=str(last))
        self.further = log(2, last.sequence + 1, [seam, *(TextDelta(f"new{n} ") for n in range(more))])
        self.log = [*self.stored, *self.further]


STORIES = st.builds(Story, st.integers(0, 6), st.integers(0, 6), st.integers(0, 4))


def words(body: bytes) -> list[bytes]:
    """The words in a stream, in any dialect."""
    return WORD.findall(body)


def texts(entries: Sequence[Entry]) -> list[bytes]:
    """The words of some entries."""
    return words(b" ".join(entry.data for entry in entries))


def read(reader: Reader, entries: Sequence[Entry], page: int, *, shared: bool = True) -> bytes:
    """The bytes of some entries, in pages of so many."""
    pages = [entries[i : i + page] for i in range(0, len(entries), page)]
    return b"".join(reader.feed(Page(each) if shared else each) for each in pages)


@each_dialect
@given(story=STORIES, data=st.data())
def test_a_reader_who_comes_back_has_each_word_once_or_hears_that_the_answer_is_lost(
    name: str, story: Story, data: st.DataObject
) -> None:
    """With any offset that either server has given out."""
    offsets = [ORIGIN, *(entry.offset for entry in (*story.shown, *story.further))]
    after = data.draw(st.sampled_from(offsets))
    source = story.shown if after.epoch == 1 else story.log
    kept = texts([entry for entry in source if entry.offset <= after])
    beyond = after.epoch == 1 and after > story.stored[-1].offset
    reader = READERS[name](MESSAGE_ID, Cursor(after))
    rest = [entry for entry in story.log if entry.offset > reader.begin]

    try:
        got = read(reader, rest, data.draw(st.integers(1, 9)), shared=data.draw(st.booleans()))
    except Diverged:
        assert beyond
        assert name != "native"
        return
    if beyond:
        assert name == "native"
        seam = parse(got)[0]
        kept = kept[: story.stored.index(next(each for each in story.stored if str(each.offset) == seam["rewind"]))]
    assert kept + words(got) == texts(story.log)


@pytest.mark.parametrize("name", FOLDS)
@given(story=STORIES, page=st.integers(1, 9))
def test_a_reader_who_stays_while_the_log_is_taken_from_its_server_gets_no_word_twice(
    name: str, story: Story, page: int
) -> None:
    """The server was only slow. It has shown more than it stored, and reads on in the store."""
    reader = READERS[name](MESSAGE_ID, BEGINNING)
    seen = read(reader, story.shown, page)
    rest = [entry for entry in story.log if entry.offset > story.shown[-1].offset]
    try:
        seen += read(reader, rest, page)
    except Diverged:
        assert len(story.shown) > len(story.stored)
        return
    assert words(seen) == texts(story.log)


@pytest.mark.parametrize("name", sorted(NUMBERED))
@given(story=STORIES, data=st.data())
def test_a_reader_who_counts_frames_has_each_word_once_or_hears_that_the_answer_is_lost(
    name: str, story: Story, data: st.DataObject
) -> None:
    """Numbers of the Responses API jump at the seam. A page of the AI SDK counts by itself, and its count is refused
    behind the seam, where it could stand on either side."""
    source = data.draw(st.sampled_from((story.shown, story.log)))
    blocks = [b for b in read(READERS[name](MESSAGE_ID, BEGINNING), source, 1).split(b"\n\n") if b"data: " in b]
    taken = data.draw(st.integers(0, len(blocks)))
    number = _NUMBER.search(blocks[taken - 1]) if taken else None
    after = Cursor(frames=taken if number is None else int(number[1]) + 1)
    kept = words(b"".join(blocks[:taken]))
    stored = texts(story.stored)
    reader = READERS[name](MESSAGE_ID, after)
    try:
        got = read(reader, story.log, data.draw(st.integers(1, 9)))
    except Diverged:
        assert name == "vercel" or source is story.shown
        assert len(kept) >= len(stored)
        return
    assert kept + words(got) == texts(story.log)


@pytest.mark.parametrize("name", FOLDS)
def test_it_hears_so_in_its_dialects_own_words(name: str) -> None:
    """With the code `lost` where the dialect has codes; bare text breaks off."""
    story = Story(2, 2, 2)
    reader = READERS[name](MESSAGE_ID, Cursor(story.shown[-1].offset))
    with pytest.raises(Diverged) as lost:
        read(reader, [entry for entry in story.log if entry.offset > reader.begin], 3)
    error = Error(lost.value.code, lost.value.told, lost.value.retryable, status=lost.value.status)
    if name == "text":
        with pytest.raises(Unspeakable):
            reader.broken(error)
        return
    body = reader.broken(error)
    assert b"read it again from the beginning" in body
    assert b"id: " not in body


def test_an_ending_after_more_than_was_stored_is_told_as_ever() -> None:
    """Nothing but the ending follows, so no word can be missing."""
    story = Story(2, 2, 0)
    lost = record(Offset(2, 4), 15.0, Error("lost", "Gone.", True))
    for name in FOLDS[:-1]:
        reader = READERS[name](MESSAGE_ID, Cursor(story.shown[-1].offset))
        assert b"Gone." in read(reader, [e for e in [*story.stored, lost] if e.offset > reader.begin], 2)
