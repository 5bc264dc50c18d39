"""The dialects' forms of each transcript, byte for byte. The browser's client is tested with the same files."""

import json
from typing import Any

import msgspec
import pytest
from corpus import MESSAGE_ID, TRANSCRIPTS, Transcript
from serving import parse, text_of

from headwater.answer import fold
from headwater.dialects.dialect import Unspeakable
from headwater.dialects.native.reader import NativeReader
from headwater.dialects.native.state import whole
from headwater.dialects.responses.dialect import Responses
from headwater.dialects.text.dialect import TextReader
from headwater.events import Error, Finish, Stop, TextDelta

FIELDS = (
    *("id", "state", "text", "ending", "offset", "model", "usage", "timing", "reasoning", "tools", "metadata"),
    *("continued", "saved"),
)
"""The fields of the JSON state in their order; new fields come last."""

each_transcript = pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda transcript: transcript.name)


@each_transcript
def test_the_native_bytes_are_those_of_the_corpus(transcript: Transcript, request: pytest.FixtureRequest) -> None:
    """A changed byte of the protocol is a decision, not an accident."""
    reader = NativeReader(MESSAGE_ID)
    written = reader.open() + b"".join(reader.feed([entry]) for entry in transcript.entries)
    if request.config.getoption("--write-transcripts"):
        transcript.sse.write_bytes(written)

    assert written == transcript.sse.read_bytes()


@each_transcript
def test_the_state_is_that_of_the_corpus(transcript: Transcript, request: pytest.FixtureRequest) -> None:
    """The browser's fold of the stream is compared with the same file, on every field."""
    state = json.loads(msgspec.json.encode(whole(fold(transcript.entries))))
    if request.config.getoption("--write-transcripts"):
        transcript.state.write_text(json.dumps(state, indent=2) + "\n")

    assert state == json.loads(transcript.state.read_text())


@each_transcript
def test_the_state_has_every_field_and_agrees_with_the_stream(transcript: Transcript) -> None:
    """A client reads the ending, the text and the offset in the same form from both."""
    state, frames = json.loads(transcript.state.read_text()), parse(transcript.sse.read_bytes())
    last = frames[-1]

    assert tuple(state) == FIELDS
    assert state["text"] == text_of(frames)
    assert state["offset"] == last.id
    assert state["ending"] == (last if last["type"] in ("finish", "stop", "error") else None)
    assert state["usage"] == last.get("usage")
    assert (state["id"], state["model"]) == (frames[0]["message_id"], frames[0]["model"])


@each_transcript
def test_a_stream_that_resumes_anywhere_goes_on_unchanged(transcript: Transcript) -> None:
    """No frame depends on those before it."""
    whole = [NativeReader(MESSAGE_ID).feed([entry]) for entry in transcript.entries]
    for begin in range(len(whole) + 1):
        reader = NativeReader(MESSAGE_ID)
        assert [reader.feed([entry]) for entry in transcript.entries[begin:]] == whole[begin:]


@each_transcript
def test_every_frame_is_one_line_of_ascii(transcript: Transcript) -> None:
    """So no client splits a frame in the wrong place, whatever characters the model produces."""
    body = transcript.sse.read_bytes()
    assert body.isascii()
    assert b"\r" not in body
    for block in body.split(b"\n\n"):
        assert block.count(b"data: ") <= 1 or b"not a frame" in block


@each_transcript
def test_bare_text_is_the_text_and_breaks_off_unless_the_answer_finished(transcript: Transcript) -> None:
    """The dialect cannot express a failure other than by breaking the connection."""
    reader = TextReader()
    written = b""
    broke = False
    for entry in transcript.entries:
        try:
            written += reader.feed([entry])
        except Unspeakable:
            broke = True

    text = "".join(entry.event.text for entry in transcript.entries if isinstance(entry.event, TextDelta))
    assert written.decode() == text
    ending = transcript.entries[-1].event
    only_calls = isinstance(ending, Finish) and ending.reason == "tool_calls" and not text
    assert broke == (isinstance(ending, Error | Stop) or only_calls)


@each_transcript
def test_a_response_that_is_polled_is_the_one_that_its_stream_tells(transcript: Transcript) -> None:
    """At every entry: the items that the stream has completed, in its order and under its ids, and how it stands."""
    told: list[dict[str, Any]] = []
    reader = Responses({}).reader(MESSAGE_ID)
    for count, entry in enumerate(transcript.entries, 1):
        lines = reader.feed([entry]).decode().splitlines()
        told += [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
        polled = json.loads(Responses({}).whole(MESSAGE_ID, transcript.entries[:count]))
        items = [event["item"] for event in told if event["type"] == "response.output_item.done"]
        rest = [item.get("status", "in_progress") for item in polled["output"][len(items) :]]
        assert polled["output"][: len(items)] == items
        assert rest in ([], ["in_progress"])
        if "response" in told[-1]:
            assert polled == told[-1]["response"]
