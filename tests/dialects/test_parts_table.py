"""The table of docs/clients/index.md about images, files and sound in questions. Each cell is tested."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from spoken import NOT_SAYABLE, table

from headwater.dialects.agui.request import run
from headwater.dialects.anthropic.request import read as anthropic
from headwater.dialects.native.request import chat
from headwater.dialects.openai.request import read as openai
from headwater.dialects.responses.request import read as responses
from headwater.dialects.vercel.request import chat as vercel
from headwater.prompt import Audio, File, Image, Prompt

JSON = dict[str, Any]
URL, DATA, PNG, PDF, WAV = "https://a.example/b", "AAAA", "image/png", "application/pdf", "audio/wav"
WHAT = {
    "image by its address": Image(url=URL),
    "image as data": Image(data=DATA, media_type=PNG),
    "file by its address": File(url=URL),
    "file as data": File(data=DATA, media_type=PDF),
    "file by the provider's id": File(id="file-1"),
    "sound as data": Audio(data=DATA, media_type=WAV),
}


def sourced(kind: str, media_type: str) -> list[JSON]:
    """A part of AG-UI by its address, and as data."""
    data = {"type": "data", "value": DATA, "mimeType": media_type}
    return [{"type": kind, "source": source} for source in ({"type": "url", "value": URL}, data)]


def block(kind: str, source: str, **fields: str) -> JSON:
    """A block of Anthropic's."""
    return {"type": kind, "source": {"type": source, **fields}}


SAID: dict[str, list[JSON | None]] = {
    "native": [
        {"type": "image", "url": URL},
        {"type": "image", "data": DATA, "media_type": PNG},
        {"type": "file", "url": URL},
        {"type": "file", "data": DATA, "media_type": PDF},
        {"type": "file", "id": "file-1"},
        {"type": "audio", "data": DATA, "media_type": WAV},
    ],
    "openai": [
        {"type": "image_url", "image_url": {"url": URL}},
        {"type": "image_url", "image_url": {"url": f"data:{PNG};base64,{DATA}"}},
        {"type": "file", "file": {"file_data": URL}},
        {"type": "file", "file": {"file_data": f"data:{PDF};base64,{DATA}"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}},
    ],
    "anthropic": [
        block("image", "url", url=URL),
        block("image", "base64", data=DATA, media_type=PNG),
        block("document", "url", url=URL),
        block("document", "base64", data=DATA, media_type=PDF),
        block("document", "file", file_id="file-1"),
        None,
    ],
    "ag-ui": [*sourced("image", PNG), *sourced("document", PDF), None, sourced("audio", WAV)[1]],
    "responses": [
        {"type": "input_image", "image_url": URL},
        {"type": "input_image", "image_url": f"data:{PNG};base64,{DATA}"},
        {"type": "input_file", "file_url": URL},
        {"type": "input_file", "file_data": f"data:{PDF};base64,{DATA}"},
        {"type": "input_file", "file_id": "file-1"},
        {"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}},
    ],
    "vercel": [
        {"type": "file", "mediaType": PNG, "url": URL},
        {"type": "file", "mediaType": PNG, "url": f"data:{PNG};base64,{DATA}"},
        {"type": "file", "mediaType": PDF, "url": URL},
        {"type": "file", "mediaType": PDF, "url": f"data:{PDF};base64,{DATA}"},
        None,
        {"type": "file", "mediaType": WAV, "url": f"data:{WAV};base64,{DATA}"},
    ],
}
"""What each dialect's clients send, in the order of `WHAT`; None where they have no word for it."""

READ: dict[str, Callable[[JSON], Prompt]] = {
    "native": lambda part: chat(asked(part)).prompt,
    "openai": lambda part: openai(asked(part), "chat").ask.prompt,
    "anthropic": lambda part: anthropic(asked(part, max_tokens=5)).prompt,
    "ag-ui": lambda part: run(asked(part, threadId="t", runId="r")).ask.prompt,
    "responses": lambda part: responses(json.dumps({"input": [user(part)]}).encode()).ask([]).prompt,
    "vercel": lambda part: vercel(json.dumps({"messages": [{"role": "user", "parts": [part]}]}).encode()).ask.prompt,
}


def user(part: JSON) -> JSON:
    return {"role": "user", "content": [part]}


def asked(part: JSON, **fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [user(part)], **fields}).encode()


CELLS = table("parts")


def test_the_table_has_every_kind_of_part_and_every_dialect_that_takes_any() -> None:
    """A new one is missing here first."""
    assert CELLS.keys() == WHAT.keys()
    for cells in CELLS.values():
        assert cells.keys() == SAID.keys() == READ.keys()


@pytest.mark.parametrize("dialect", SAID)
@pytest.mark.parametrize("row", WHAT)
def test_each_cell_is_what_the_dialect_reads(row: str, dialect: str) -> None:
    """The code in a cell stands in what clients send, and the model gets the same part from every dialect."""
    cell, part, meant = CELLS[row][dialect], SAID[dialect][[*WHAT].index(row)], WHAT[row]
    if part is None:
        assert cell == NOT_SAYABLE
        return
    words = re.findall(r"`([^`]+)`", cell)
    assert words, f"the cell {cell!r} has no word in code"
    for word in words:
        assert word in json.dumps(part)
    read = READ[dialect](part).messages[-1].content[-1]
    assert type(read) is type(meant)
    for field in ("url", "data", "id"):
        assert getattr(read, field, None) == getattr(meant, field, None)
