"""Text in places and forms where only some servers put it: read the same by every way to the provider."""

from typing import Any

import msgspec
import pytest
from raw import DONE, Raw, chunk, line
from ways import EVERY_CHAT, EVERY_COMPLETION, HELLO, ONCE_UPON, Build, joined_answer

from headwater.events import Event, Finish, Metadata, ReasoningDelta, TextDelta, is_admissible

Parts = list[bytes]


def whole(finish: str | None = "stop", **message: Any) -> bytes:
    """A message where a delta belongs, as one event of a stream."""
    return line({"choices": [{"index": 0, "message": message, "finish_reason": finish}]})


def escaped(**texts: str) -> bytes:
    """A delta whose text is JSON already, as one event of a stream."""
    fields = ", ".join(f'"{name}": "{text}"' for name, text in texts.items())
    return f'data: {{"choices": [{{"index": 0, "delta": {{{fields}}}}}]}}\n\n'.encode()


def raw_bytes(text: bytes) -> bytes:
    """A delta with bytes that need not be UTF-8, as one event of a stream."""
    return b'data: {"choices": [{"index": 0, "delta": {"content": "' + text + b'"}}]}\n\n'


Say, Think = TextDelta, ReasoningDelta
STOP = chunk("stop")

CUMULATIVE: dict[str, tuple[Parts, list[Event]]] = {
    "all again": ([chunk(content="Hi"), whole(content="Hi")], [Say("Hi")]),
    "all again, from pieces": ([chunk(content="H"), chunk(content="i"), whole(content="Hi")], [Say("Hi")]),
    "all again, after the reason": ([chunk("stop", content="Hi"), whole(content="Hi")], [Say("Hi")]),
    "all again, in every chunk": (
        [
            line({"choices": [{"index": 0, "delta": {"content": new}, "message": {"content": all}}]})
            for new, all in (("H", "H"), ("i", "Hi"), ("!", "Hi!"))
        ]
        + [STOP],
        [Say("Hi!")],
    ),
    "the rest": ([chunk(content="He"), whole(content="Hello")], [Say("Hello")]),
    "only a message": ([whole(content="Hi")], [Say("Hi")]),
    "blanks stripped": ([chunk(content=" Hi\n"), whole(content="Hi")], [Say(" Hi\n")]),
    "nothing": ([chunk(content="Hi"), whole(content="")], [Say("Hi")]),
    "a null": ([chunk(content="Hi"), whole(content=None)], [Say("Hi")]),
    "thinking too": (
        [chunk(reasoning_content="Hm"), chunk(content="Hi"), whole(content="Hi", reasoning_content="Hm")],
        [Think("Hm"), Say("Hi")],
    ),
    "only the thinking": ([chunk(reasoning="Hm"), whole(content="Hi", reasoning="Hm")], [Think("Hm"), Say("Hi")]),
    "blocks": ([chunk(content="Hi"), whole(content=[{"type": "text", "text": "Hi"}])], [Say("Hi")]),
}

NESTED: dict[str, tuple[Parts, list[Event]]] = {
    "Mistral's thinking": (
        [
            chunk(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}]),
            chunk("stop", content="b"),
        ],
        [Think("a"), Say("b")],
    ),
    "blocks in order": (
        [chunk("stop", content=[{"type": "text", "text": "a"}, {"type": "thinking", "thinking": "b"}, "c"])],
        [Say("a"), Think("b"), Say("c")],
    ),
    "text within text": ([chunk("stop", content=[{"type": "text", "text": {"value": "a"}}])], [Say("a")]),
    "one block without a list": ([chunk("stop", content={"type": "text", "text": "a"})], [Say("a")]),
    "a block without a type": ([chunk("stop", content=[{"text": "a"}])], [Say("a")]),
    "reasoning as blocks": (
        [chunk(reasoning_content=[{"type": "text", "text": "a"}]), chunk("stop", content="b")],
        [Think("a"), Say("b")],
    ),
    "reasoning as an object": ([chunk(reasoning={"content": "a"}), chunk("stop", content="b")], [Think("a"), Say("b")]),
    "a summary": (
        [chunk(content=[{"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}]}, "b"]), STOP],
        [Think("a"), Say("b")],
    ),
    "thinking in a field": ([chunk(thinking="a"), chunk("stop", content="b")], [Think("a"), Say("b")]),
    "no text at all": (
        [chunk(content=[{"type": "text", "text": [7, None, True]}, 7, None]), chunk("stop", content="b")],
        [Say("b")],
    ),
    "numbers for text": ([chunk(content=7, reasoning=[1], refusal={"a": 1}), chunk("stop", content="b")], [Say("b")]),
    "a bare text for a delta": (
        [line({"choices": [{"index": 0, "delta": "a"}]}), chunk("stop", content="b")],
        [Say("ab")],
    ),
}

CUT: dict[str, tuple[Parts, list[Event]]] = {
    "text": ([escaped(content="a\\ud83d"), escaped(content="\\ude00b"), STOP], [Say("a😀b")]),
    "whose low half looks like a byte": ([escaped(content="\\ud83d"), escaped(content="\\udc80"), STOP], [Say("💀")]),
    "thinking": (
        [escaped(reasoning_content="\\ud83d"), escaped(reasoning_content="\\ude00"), chunk("stop", content="b")],
        [Think("😀"), Say("b")],
    ),
    "each by turns": (
        [
            escaped(reasoning_content="\\ud83d"),
            escaped(content="\\ud83d"),
            escaped(reasoning_content="\\ude00"),
            escaped(content="\\ude01"),
            STOP,
        ],
        [Think("😀"), Say("😁")],
    ),
    "never completed": ([escaped(content="a\\ud83d"), chunk(content="b"), STOP], [Say("a\ufffdb")]),
    "never completed, at the end": ([escaped(content="a\\ud83d"), STOP], [Say("a\ufffd")]),
    "the second half alone": ([escaped(content="a\\ude00b"), STOP], [Say("a\ufffdb")]),
    "two first halves": ([escaped(content="\\ud83d\\ud83d"), escaped(content="\\ude00"), STOP], [Say("\ufffd😀")]),
    "no UTF-8": ([raw_bytes(b"a\xffb"), STOP], [Say("a\ufffdb")]),
    "Latin-1": ([raw_bytes(b"caf\xe9"), chunk(content="!"), STOP], [Say("caf\ufffd!")]),
    "bytes cut between two events": ([raw_bytes(b"a\xf0\x9f"), raw_bytes(b"\x98\x80b"), STOP], [Say("a😀b")]),
    "bytes cut thrice": ([raw_bytes(bytes([byte])) for byte in "😀".encode()] + [STOP], [Say("😀")]),
    "bytes cut, never completed": ([raw_bytes(b"a\xf0\x9f"), chunk(content="b"), STOP], [Say("a\ufffdb")]),
    "beside a whole character": ([raw_bytes("é\\ud83d".encode()), escaped(content="\\ude00é"), STOP], [Say("é😀é")]),
}


@EVERY_CHAT
@pytest.mark.parametrize("case", CUMULATIVE)
async def test_what_was_told_in_pieces_is_not_told_again(build: Build, case: str) -> None:
    """A cumulative message tells only what its pieces have not."""
    pieces, wanted = CUMULATIVE[case]
    async with Raw(pieces=[*pieces, DONE]) as upstream:
        assert await joined_answer(build(upstream)) == [*wanted, Finish("stop")]


@EVERY_CHAT
async def test_a_refusal_is_told_once(build: Build) -> None:
    """In deltas, and in the message after them."""
    async with Raw(pieces=[chunk(refusal="No."), whole(content=None, refusal="No."), DONE]) as upstream:
        assert await joined_answer(build(upstream)) == [Say("No."), Finish("content_filter")]


@EVERY_CHAT
async def test_another_text_in_the_message_is_not_lost(build: Build) -> None:
    """It is no repetition."""
    async with Raw(pieces=[chunk(content="Hi. "), whole(content="Bye."), DONE]) as upstream:
        assert await joined_answer(build(upstream)) == [Say("Hi. Bye."), Finish("stop")]


@EVERY_CHAT
@pytest.mark.parametrize("case", NESTED)
async def test_nested_text_is_found_and_nothing_else_is_shown(build: Build, case: str) -> None:
    """No value is ever shown as Python would write it."""
    pieces, wanted = NESTED[case]
    async with Raw(pieces=[*pieces, DONE]) as upstream:
        assert await joined_answer(build(upstream)) == [*wanted, Finish("stop")]


@EVERY_CHAT
@pytest.mark.parametrize("case", CUT)
async def test_a_character_that_the_provider_cuts_is_whole(build: Build, case: str) -> None:
    """Or one U+FFFD, and the answer goes on."""
    pieces, wanted = CUT[case]
    async with Raw(pieces=[*pieces, DONE]) as upstream:
        assert await joined_answer(build(upstream)) == [*wanted, Finish("stop")]


@EVERY_CHAT
async def test_a_character_that_is_cut_is_not_lost_with_the_answer(build: Build) -> None:
    """The stream ends without a reason."""
    async with Raw(pieces=[escaped(content="a\\ud83d")]) as upstream:
        assert await joined_answer(build(upstream)) == [Say("a\ufffd")]


@EVERY_COMPLETION
async def test_a_character_that_is_cut_in_a_completion_is_whole(build: Build) -> None:
    """The same for the older API."""
    cut = [f'data: {{"choices": [{{"index": 0, "text": "{half}"}}]}}\n\n'.encode() for half in ("\\ud83d", "\\ude00")]
    stop = line({"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]})
    async with Raw(pieces=[*cut, stop, DONE]) as upstream:
        assert await joined_answer(build(upstream), ONCE_UPON) == [Say("😀"), Finish("stop")]


NOTHING: dict[str, Parts] = {
    "only thinking": [chunk(reasoning_content="Hm")],
    "only blanks": [chunk(content=" \n"), chunk(content="\n\n")],
    "thinking and blanks": [chunk(reasoning="Hm"), chunk(content="\n")],
    "an empty text": [chunk(content="")],
}


@EVERY_CHAT
@pytest.mark.parametrize("case", NOTHING)
async def test_an_answer_that_says_nothing_is_not_cached(build: Build, case: str) -> None:
    """A second call costs one request; an empty answer would be replayed for an hour."""
    async with Raw(pieces=[*NOTHING[case], STOP, DONE]) as upstream:
        ending = (await joined_answer(build(upstream)))[-1]
    assert isinstance(ending, Finish)
    assert not is_admissible(ending)


LEFT_OUT: dict[str, tuple[bytes, str, list[Event]]] = {
    "OpenRouter's images": (
        chunk(content="Here", images=[{"type": "image_url", "image_url": {"url": "data:,"}}]),
        "images",
        [Say("Here")],
    ),
    "an image in the content": (chunk(content=[{"type": "image_url", "image_url": {"url": "data:,"}}]), "images", []),
    "an image as LangChain has it": (
        chunk(content=[{"type": "image", "url": "https://x.example"}, "Hi"]),
        "images",
        [Say("Hi")],
    ),
    "OpenAI's audio": (chunk(audio={"id": "a", "data": "AA=="}), "audio", []),
    "audio with its words": (chunk(audio={"transcript": "Hi"}), "audio", [Say("Hi")]),
}


@EVERY_CHAT
@pytest.mark.parametrize("case", LEFT_OUT)
async def test_an_answer_with_more_than_text_says_so_and_is_not_cached(build: Build, case: str) -> None:
    """A generated image is a part of the answer, and no event can hold it."""
    piece, name, words = LEFT_OUT[case]
    async with Raw(pieces=[piece, STOP, DONE]) as upstream:
        events = await joined_answer(build(upstream))
    assert events == [*words, Metadata({"left_out": [name]}), Finish("other")]


@EVERY_CHAT
async def test_citations_and_annotations_are_metadata(build: Build) -> None:
    """They are facts about the answer, which stays whole."""
    noted = [{"type": "url_citation", "url_citation": {"url": "https://x.example"}}]
    pieces = [chunk(content="Hi", annotations=noted), chunk(annotations=noted), STOP]
    async with Raw(pieces=[*pieces, DONE]) as upstream:
        kept = Metadata({"provider_fields": {"annotations": [*noted, *noted]}})
        assert await joined_answer(build(upstream)) == [Say("Hi"), kept, Finish("stop")]
    cited = {"choices": [{"index": 0, "delta": {"content": "a"}}], "citations": ["https://x.example"]}
    async with Raw(pieces=[line(cited), line(cited), STOP, DONE]) as upstream:
        kept = Metadata({"provider_fields": {"citations": ["https://x.example"]}})
        assert await joined_answer(build(upstream)) == [Say("aa"), kept, Finish("stop")]


@EVERY_CHAT
async def test_what_a_provider_needs_back_is_metadata(build: Build) -> None:
    """Its own fields as they came; pieces of one detail become one again."""
    details = [{"type": "reasoning.text", "index": 0, "text": text} for text in ("a", "b")]
    secret = {"type": "reasoning.encrypted", "index": 1, "data": "x", "id": "r1"}
    signed = {"google": {"thought_signature": "abc"}}
    call = {"id": "c1", "index": 0, "function": {"name": "f", "arguments": "{}"}, "extra_content": signed}
    pieces = [chunk(reasoning_details=[detail]) for detail in (*details, secret)]
    async with Raw(pieces=[*pieces, chunk(tool_calls=[call]), chunk("tool_calls"), DONE]) as upstream:
        events = await joined_answer(build(upstream))
    wanted = {
        "reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "ab"}, secret],
        "tool_calls": {"c1": {"extra_content": signed}},
    }
    assert (events[0], events[-2]) == (Think("ab"), Metadata({"provider_fields": wanted}))
    assert events[-1] == Finish("tool_calls")


@EVERY_CHAT
async def test_fields_that_are_too_large_for_an_event_are_left_out_by_name(build: Build) -> None:
    """The text is whole all the same."""
    details = [{"type": "reasoning.encrypted", "index": 0, "data": "x" * 70_000}]
    async with Raw(pieces=[chunk(content="Hi", reasoning_details=details), STOP, DONE]) as upstream:
        left_out = Metadata({"left_out": ["reasoning_details"]})
        assert await joined_answer(build(upstream)) == [Say("Hi"), left_out, Finish("stop")]


@EVERY_CHAT
async def test_only_the_first_of_several_choices_is_the_answer(build: Build) -> None:
    """Whatever order they come in, in one chunk or in several."""

    def choices(*pairs: tuple[int, str], finish: str | None = None) -> bytes:
        return line(
            {
                "choices": [
                    {"index": index, "delta": {"content": text}, "finish_reason": finish} for index, text in pairs
                ]
            }
        )

    pieces = [choices((0, "H")), choices((1, "x")), choices((0, "i"), (1, "y")), choices((1, "z"), (0, "!"))]
    ends = [choices((1, ""), finish="length"), choices((0, ""), finish="stop"), choices((1, ""), finish="length")]
    async with Raw(pieces=[*pieces, *ends, DONE]) as upstream:
        assert await joined_answer(build(upstream)) == [Say("Hi!"), Finish("stop")]


@EVERY_CHAT
async def test_probabilities_that_were_asked_for_are_named_as_left_out(build: Build) -> None:
    """No event holds them, so that the answer is not cached."""
    asked = msgspec.structs.replace(HELLO, extra={"logprobs": True})
    async with Raw(pieces=[chunk(content="Hi"), STOP, DONE]) as upstream:
        left_out = Metadata({"left_out": ["logprobs"]})
        assert await joined_answer(build(upstream), asked) == [Say("Hi"), left_out, Finish("other")]
