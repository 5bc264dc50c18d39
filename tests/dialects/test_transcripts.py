"""What the wires make of the corpus, byte for byte; the browser's client is tested against the same files."""

import json

import msgspec
import pytest
from corpus import MESSAGE_ID, TRANSCRIPTS, Transcript
from serving import parse, text_of

from headwater.answer import fold
from headwater.dialects.dialect import Unspeakable
from headwater.dialects.native.reader import NativeReader
from headwater.dialects.native.state import whole
from headwater.dialects.text.dialect import TextReader
from headwater.events import Error, Stop, TextDelta

FIELDS = ["id", "state", "text", "ending", "offset", "model", "usage", "timing", "reasoning", "tools", "metadata"]
"""What a state has, in this order: fields that are new come last."""

each_transcript = pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda transcript: transcript.name)


@each_transcript
def test_the_native_bytes_are_those_of_the_corpus(transcript: Transcript, request: pytest.FixtureRequest) -> None:
    """A changed byte on the wire is a decision, not an accident."""
    wire = NativeReader(MESSAGE_ID)
    said = wire.open() + b"".join(wire.feed([entry]) for entry in transcript.entries)
    if request.config.getoption("--write-transcripts"):
        transcript.sse.write_bytes(said)

    assert said == transcript.sse.read_bytes()


@each_transcript
def test_the_state_is_that_of_the_corpus(transcript: Transcript, request: pytest.FixtureRequest) -> None:
    """The same log as one object; the browser's fold of the stream is compared with the same file, on every field."""
    state = json.loads(msgspec.json.encode(whole(fold(transcript.entries))))
    if request.config.getoption("--write-transcripts"):
        transcript.state.write_text(json.dumps(state, indent=2) + "\n")

    assert state == json.loads(transcript.state.read_text())


@each_transcript
def test_the_state_has_every_field_and_agrees_with_the_stream(transcript: Transcript) -> None:
    """Two tellings of one log; a client reads an ending in the same form from both."""
    state, frames = json.loads(transcript.state.read_text()), parse(transcript.sse.read_bytes())
    last = frames[-1]

    assert list(state) == FIELDS
    assert state["text"] == text_of(frames)
    assert state["offset"] == last.id
    assert state["ending"] == (last if last["type"] in ("finish", "stop", "error") else None)
    assert state["usage"] == last.get("usage")
    assert (state["id"], state["model"]) == (frames[0]["message_id"], frames[0]["model"])


@each_transcript
def test_a_wire_that_starts_in_the_middle_says_the_rest_unchanged(transcript: Transcript) -> None:
    """Resuming is reading on: no frame depends on those before it."""
    whole = [NativeReader(MESSAGE_ID).feed([entry]) for entry in transcript.entries]
    for begin in range(len(whole) + 1):
        wire = NativeReader(MESSAGE_ID)
        assert [wire.feed([entry]) for entry in transcript.entries[begin:]] == whole[begin:]


@each_transcript
def test_every_frame_is_one_line_of_ascii(transcript: Transcript) -> None:
    """Whatever the model says, no client can cut a frame in the wrong place."""
    body = transcript.sse.read_bytes()
    assert body.isascii()
    assert b"\r" not in body
    for block in body.split(b"\n\n"):
        assert block.count(b"data: ") <= 1 or b"not a frame" in block


@each_transcript
def test_bare_text_says_the_text_or_breaks_off(transcript: Transcript) -> None:
    """It has no word for a failure, and does not make one up."""
    wire = TextReader()
    said = b""
    broke = False
    for entry in transcript.entries:
        try:
            said += wire.feed([entry])
        except Unspeakable:
            broke = True

    text = "".join(entry.event.text for entry in transcript.entries if isinstance(entry.event, TextDelta))
    assert said.decode() == text
    assert broke == isinstance(transcript.entries[-1].event, Error | Stop)
