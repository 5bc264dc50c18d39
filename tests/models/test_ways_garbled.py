"""Answers that are no proper stream: read the same by every way to the provider."""

import json
import time

import pytest
from raw import DONE, Raw, chunk, line
from ways import EVERY_CHAT, Build, joined, joined_answer, until_failure

from headwater.events import Finish, TextDelta
from headwater.models.openai.lines import Bounds
from headwater.models.openai.stream import Stream

GOOD = chunk(content="good")
ENDING = chunk("stop") + DONE
SUSPENDED = {"message": "Account suspended", "code": 403}


@EVERY_CHAT
async def test_text_before_broken_json_is_passed_on(build: Build) -> None:
    """Also when one read of the socket brought both."""
    wrong = b'data: {"choices":[{"delta":{"content":"lost}}]}\n\n'
    async with Raw(pieces=[GOOD + wrong + ENDING]) as upstream:
        events, failure = await until_failure(build(upstream))
    assert events == [TextDelta("good")]
    assert failure.code == "provider_garbled"


@EVERY_CHAT
@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"error": SUSPENDED}).encode(),
        json.dumps({"error": SUSPENDED}, indent=2).encode() + b"\n",
        json.dumps(SUSPENDED).encode(),
        line({"object": "error", **SUSPENDED}) + DONE,
        b"event: error\n" + line(SUSPENDED),
        b"event: error\n" + line({"error": SUSPENDED}).rstrip(),
        b"event: error\r\n" + line(SUSPENDED, end="\r\n"),
    ],
)
@pytest.mark.parametrize("pieces", [1, 2])
async def test_an_error_in_an_answer_that_began_with_200_is_reported(build: Build, body: bytes, pieces: int) -> None:
    """In every form, and after the text before it."""
    half = body.find(b"\n") + 1 if pieces == 2 else 0
    for before, words in ([], []), ([GOOD], [TextDelta("good")]):
        async with Raw(pieces=[*before, body[:half], body[half:]], pace=0.005) as upstream:
            events, failure = await until_failure(build(upstream))
        assert events == words
        assert (failure.code, failure.status) == ("provider_auth", 502)
        assert "Account suspended" in str(failure)


@EVERY_CHAT
async def test_an_error_event_may_be_plain_text(build: Build) -> None:
    """Not all providers send JSON."""
    async with Raw(pieces=[GOOD, b"event: error\ndata: no room left\n\n"]) as upstream:
        events, failure = await until_failure(build(upstream))
    assert events == [TextDelta("good")]
    assert failure.code == "provider_error"


@EVERY_CHAT
async def test_a_page_in_place_of_a_stream_is_garbled(build: Build) -> None:
    """For example a proxy's login form, whose status is 200."""
    async with Raw(pieces=[b"<html>\n<body>Please log in</body>\n</html>"]) as upstream:
        events, failure = await until_failure(build(upstream))
    assert (events, failure.code) == ([], "provider_garbled")


@EVERY_CHAT
async def test_a_last_line_needs_no_end(build: Build) -> None:
    """The reason to finish is in it."""
    async with Raw(pieces=[GOOD, chunk("stop", content="!").rstrip()]) as upstream:
        assert await joined_answer(build(upstream)) == [TextDelta("good!"), Finish("stop")]


@EVERY_CHAT
async def test_a_last_line_that_is_cut_is_no_end(build: Build) -> None:
    """The answer is truncated; the text before the cut is passed on."""
    async with Raw(pieces=[GOOD, chunk("stop", content="!")[:40]]) as upstream:
        assert await joined_answer(build(upstream)) == [TextDelta("good")]


@EVERY_CHAT
async def test_a_byte_order_mark_is_skipped(build: Build) -> None:
    """Wherever the read is cut."""
    body = b"\xef\xbb\xbf" + GOOD + ENDING
    for cut in (0, 1, 3):
        async with Raw(pieces=[body[:cut], body[cut:]], pace=0.005) as upstream:
            assert joined(await joined_answer(build(upstream))) == [TextDelta("good"), Finish("stop")]


@pytest.mark.parametrize("line", [b"x\n", b"data: x\n"])
def test_many_short_lines_that_are_no_stream_take_no_long_time(line: bytes) -> None:
    """One event loop reads all answers, so none may stop it for seconds."""
    stream, began = Stream(), time.process_time()
    for _ in range(40):
        assert not list(stream.feed(line * 10_000))
    assert time.process_time() - began < 3


def test_lines_that_are_no_stream_do_not_fill_the_memory() -> None:
    """They are kept for an error's message only, and only up to a bound."""
    stream = Stream(Bounds(foreign=10))
    events = [
        event for data in (b'{"error":\n', b'"too long to be kept"}\n', GOOD, ENDING) for event in stream.feed(data)
    ]
    assert [*events, *stream.finish()] == [TextDelta("good"), Finish("stop")]
    assert stream.failure is None
