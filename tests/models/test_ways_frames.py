"""How a stream is cut into chunks, and where it ends: the same by every way to the provider."""

import asyncio
import json
from contextlib import aclosing
from typing import Any, Literal

import pytest
from raw import DONE, Raw, chunk, line
from ways import EVERY_CHAT, EVERY_COMPLETION, HELLO, ONCE_UPON, Build, joined_answer, until_failure

from headwater.events import Finish, TextDelta, Usage

HI, STOP = chunk(content="Hi"), chunk("stop")
WHOLE: dict[str, Any] = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}
USAGE = line({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})


@EVERY_CHAT
@pytest.mark.parametrize("then", ["silence", "heartbeats", "reset"])
@pytest.mark.parametrize("after", [[], [USAGE]])
async def test_a_whole_answer_is_finished_whatever_follows(
    build: Build, then: Literal["silence", "heartbeats", "reset"], after: list[bytes]
) -> None:
    """The reason to end has come; token counts are waited for, but not for long."""
    async with Raw(pieces=[HI, STOP, *after], then=then) as upstream:
        async with asyncio.timeout(8):
            events = await joined_answer(build(upstream))
    if then == "reset" and after:  # a reset may discard bytes that have arrived already
        events = [*events[:-1], Finish("stop", Usage(3, 2))]
    assert events == [TextDelta("Hi"), Finish("stop", Usage(3, 2) if after else None)]


@EVERY_CHAT
@pytest.mark.parametrize("then", ["reset"])
async def test_a_break_before_the_reason_is_a_failure(build: Build, then: Literal["reset"]) -> None:
    """The text before it has been given out."""
    async with Raw(pieces=[HI], pace=0.05, then=then) as upstream:
        events, failure = await until_failure(build(upstream))
    assert (events, failure.code) == ([TextDelta("Hi")], "provider_cut")


@EVERY_CHAT
async def test_bytes_after_the_reason_that_cannot_be_read_are_of_no_concern(build: Build) -> None:
    """The answer is whole."""
    async with Raw(pieces=[HI, STOP, b'data: {"usage": {\n\n']) as upstream:
        assert await joined_answer(build(upstream)) == [TextDelta("Hi"), Finish("stop")]


@EVERY_CHAT
async def test_an_error_after_the_reason_is_still_an_error(build: Build) -> None:
    """The provider says itself that something failed."""
    async with Raw(pieces=[HI, STOP, line({"error": {"message": "no luck"}})]) as upstream:
        events, failure = await until_failure(build(upstream))
    assert (events, failure.code) == ([TextDelta("Hi")], "provider_error")


@EVERY_CHAT
async def test_the_end_without_a_reason_is_shown_whole_and_not_cached(build: Build) -> None:
    """The provider says that nothing follows; after a mere end of the bytes the answer is truncated."""
    async with Raw(pieces=[HI, DONE]) as upstream:
        assert await joined_answer(build(upstream)) == [TextDelta("Hi"), Finish("other")]
        upstream.pieces = [HI, USAGE, DONE]
        assert await joined_answer(build(upstream)) == [TextDelta("Hi"), Finish("other", Usage(3, 2))]
        upstream.pieces = [HI]
        assert await joined_answer(build(upstream)) == [TextDelta("Hi")]
        upstream.pieces = [DONE]
        assert await joined_answer(build(upstream)) == []


@EVERY_COMPLETION
async def test_a_completion_that_ends_without_a_reason_is_shown_whole_and_not_cached(build: Build) -> None:
    """The same for the older API."""
    async with Raw(pieces=[line({"choices": [{"index": 0, "text": "Hi"}]}), DONE]) as upstream:
        assert await joined_answer(build(upstream), ONCE_UPON) == [TextDelta("Hi"), Finish("other")]


def data(*lines: str) -> bytes:
    """One event with several lines of data."""
    return "".join(f"data: {each}\n" for each in lines).encode() + b"\n"


PRETTY = json.dumps(WHOLE, indent=1).splitlines()
FRAMES: dict[str, list[bytes]] = {
    "a comment as data": [data(": keepalive"), HI, data(": keepalive"), STOP],
    "a time as another event": [b"event: ping\ndata: 2026-11-27T12:00:00Z\n\n", HI, STOP],
    "a number as another event": [HI, b"event: ping\ndata: 17\n\n", STOP],
    "an object as another event": [HI, b'event: ping\ndata: {"message": "still here"}\n\n', STOP],
    "broken JSON as another event": [HI, b"event: ping\ndata: {\n\n", STOP],
    "words as data": [HI, data("OK"), data("[1, 2]"), data('"text"'), data("null"), data("17"), STOP],
    "empty data": [data(""), HI, b"data\n\n", b"data:\n\n", STOP],
    "a name for every event": [b"event: message\n" + HI, b"event: completion.chunk\n" + STOP],
    "no blank lines": [HI.rstrip() + b"\n", STOP.rstrip() + b"\n"],
    "no space after the colon": [piece.replace(b"data: ", b"data:") for piece in (HI, STOP)],
    "CR": [piece.replace(b"\n", b"\r") for piece in (HI, STOP)],
    "CRLF": [piece.replace(b"\n", b"\r\n") for piece in (HI, STOP)],
    "CR and LF by turns": [HI.replace(b"\n", b"\r"), STOP],
    "two lines of data": [data(*json.dumps(WHOLE).replace(', "finish', ',\n"finish').splitlines())],
    "one event in many lines": [data(*PRETTY)],
    "many lines, then one": [HI, data(*json.dumps(json.loads(STOP[6:]), indent=2).splitlines())],
    "a byte order mark": [b"\xef\xbb\xbf" + HI, STOP],
    "fields beside": [b"id: 7\nretry: 10\n" + HI, b": a comment\n\n" + STOP],
    "a tier that is a number": [line({**WHOLE, "service_tier": 1})],
    "a tier that is an object, beside usage": [line({**WHOLE, "service_tier": {}, "usage": {"prompt_tokens": 1}})],
    "usage that is a list": [line({**WHOLE, "usage": []})],
    "usage that is a text": [line({**WHOLE, "usage": "many"})],
    "usage that holds lists": [line({**WHOLE, "usage": [1]})],
    "a reason that is a number": [chunk(0, content="Hi"), STOP],  # pyright: ignore[reportArgumentType]
    "a reason that is false": [chunk(False, content="Hi"), STOP],  # pyright: ignore[reportArgumentType]
    "an index that is a text": [line({"choices": [{**WHOLE["choices"][0], "index": "0"}]})],
    "a role that is no role": [chunk(role=7, content="Hi"), STOP],
    "choices that are no list": [line({"choices": WHOLE["choices"][0]})],
    "choices that are null": [line({"choices": None}), HI, line({"choices": [None]}), STOP],
    "an id that is a number": [line({**WHOLE, "id": 1, "created": "x", "model": [1], "object": None})],
    "NaN and raw tabs": [HI.replace(b"null", b'NaN, "a": "\t"'), STOP],
    "an empty error": [line({**WHOLE, "error": None}), line({"error": {}, "choices": []})],
}


@EVERY_CHAT
@pytest.mark.parametrize("case", FRAMES)
@pytest.mark.parametrize("cut", [False, True])
async def test_a_good_answer_is_read_in_any_frame(build: Build, case: str, cut: bool) -> None:
    """What is no chunk is skipped, also if a read ends within it."""
    body = b"".join(FRAMES[case])
    pieces = [body[at : at + 11] for at in range(0, len(body), 11)] if cut else [body]
    async with Raw(pieces=[*pieces, DONE], pace=0.001 if cut else 0) as upstream:
        events = await joined_answer(build(upstream))
    assert [*events[:-1], Finish("stop")] == [TextDelta("Hi"), Finish("stop")]
    assert isinstance(events[-1], Finish)
    assert events[-1].reason == "stop"


@EVERY_CHAT
@pytest.mark.parametrize("broken", ['{"choices": [{', '{"choices": [{"delta": {"content": "lost}}]}', "{]", "{"])
async def test_a_broken_chunk_is_garbled(build: Build, broken: str) -> None:
    """Its words are lost, so that the answer is not whole."""
    async with Raw(pieces=[HI, data(broken), STOP, DONE]) as upstream:
        events, failure = await until_failure(build(upstream))
    assert (events, failure.code) == ([TextDelta("Hi")], "provider_garbled")


@EVERY_CHAT
async def test_nesting_without_an_end_is_garbled(build: Build) -> None:
    """And breaks nothing."""
    async with Raw(pieces=[HI, data('{"a":' * 100_000), STOP, DONE]) as upstream:
        events, failure = await until_failure(build(upstream))
    assert (events, failure.code) == ([TextDelta("Hi")], "provider_garbled")


@EVERY_CHAT
@pytest.mark.parametrize("indent", [None, 2])
async def test_a_whole_answer_in_place_of_a_stream_is_read(build: Build, indent: int | None) -> None:
    """Of a server that ignores `stream`; it may be long."""
    message = {"role": "assistant", "content": "Hello " * 20_000}
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3}}
    body = json.dumps(whole, indent=indent).encode()
    async with Raw(
        pieces=[body[:70_000], body[70_000:]], response_headers={"Content-Type": "application/json"}
    ) as upstream:
        events = await joined_answer(build(upstream))
    assert events == [TextDelta("Hello " * 20_000), Finish("stop", Usage(3, 0))]


@EVERY_COMPLETION
async def test_a_whole_completion_in_place_of_a_stream_is_read(build: Build) -> None:
    """The same for the older API."""
    body = json.dumps({"choices": [{"index": 0, "text": "Hello", "finish_reason": "stop"}]}).encode()
    async with Raw(pieces=[body]) as upstream:
        assert await joined_answer(build(upstream), ONCE_UPON) == [TextDelta("Hello"), Finish("stop")]


@EVERY_CHAT
async def test_usage_with_every_chunk_is_a_running_total(build: Build) -> None:
    """The last one counts."""
    pieces = [
        line(
            {
                "choices": [{"index": 0, "delta": {"content": "x"}}],
                "usage": {"prompt_tokens": 3, "completion_tokens": n},
            }
        )
        for n in (1, 2, 3)
    ]
    async with Raw(pieces=[*pieces, STOP, DONE]) as upstream:
        assert await joined_answer(build(upstream)) == [TextDelta("xxx"), Finish("stop", Usage(3, 3))]


@EVERY_CHAT
async def test_chunks_without_words_are_signs_of_life(build: Build) -> None:
    """A server that buffers a tool call, or hides its thinking, is not silent."""
    async with Raw(pieces=[chunk(content="")] * 3 + [HI, STOP, DONE], gated=True) as upstream:
        model = build(upstream)
        async with aclosing(model.stream(HELLO)) as batches:
            assert await asyncio.wait_for(anext(batches), 5) == []
            upstream.release(9)
            assert [event async for batch in batches for event in batch] == [TextDelta("Hi"), Finish("stop")]
        await model.aclose()


@EVERY_CHAT
async def test_a_page_in_a_200_keeps_its_cause(build: Build) -> None:
    """Whatever it is, it is no answer."""
    for body in (b"<html>log in</html>", b'{"detail": "no such thing"}', b"[]", b"{}", b'"Hi"', b"Hi"):
        async with Raw(pieces=[body]) as upstream:
            events, failure = await until_failure(build(upstream))
        assert events == []
        assert failure.code in ("provider_garbled", "provider_error"), body
        assert ("no such thing" in str(failure)) == (b"detail" in body)
