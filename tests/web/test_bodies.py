"""Request bodies that are nearly JSON, and those that are not text at all."""

import gzip
import json
from typing import Any

import pytest
from serving import chat, headwater, parse, text_of

from headwater.events import Finish, TextDelta
from headwater.models.scripted import Scripted

ANSWER = [TextDelta("x"), Finish("stop")]
CHAT = "/api/stream/completion/chat"
BOM = b"\xef\xbb\xbf"


def asking(text: bytes) -> bytes:
    """A chat whose question is this JSON string, without its quotes."""
    return b'{"messages": [{"role": "user", "content": "%b"}]}' % text


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (rb"a\ud83db", "a\ufffdb"),
        (rb"\uDE00", "\ufffd"),
        (rb"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (rb"\ude00\ud83d", "\ufffd\ufffd"),
        (rb"\ud83d\n\ude00", "\ufffd\n\ufffd"),
        (rb"\\ud83d \ud83d", "\\ud83d \ufffd"),
        (rb"\\\ud83d", "\\\ufffd"),
        (rb"\uD83D\uDE00 \ud83d\u0041", "\U0001f600 \ufffdA"),
        (rb"\ud83d\\ude00", "\ufffd\\ude00"),
        ("\U0001f600 \\ud83d".encode(), "\U0001f600 \ufffd"),
    ],
    ids=str,
)
async def test_half_a_character_is_read_as_the_replacement_character(written: bytes, read: str) -> None:
    """JavaScript cuts strings between the halves of an emoji, and writes what is left as an escape."""
    model = Scripted(ANSWER)
    async with headwater(model) as server:
        response = await server.client.post(CHAT, content=asking(written))

    assert (response.status_code, text_of(parse(response.content))) == (200, "x")
    assert model.prompts[0].messages[0].content == read


async def test_half_a_character_in_a_name_is_replaced_too() -> None:
    """Wherever JSON has strings: in fields that nobody knows, and deep inside parts."""
    body = b'{"odd": {"\\ud83d": 1}, "messages": [{"role": "user", "content": [{"type": "text", "text": "\\udfff"}]}]}'
    model = Scripted(ANSWER)
    async with headwater(model) as server:
        response = await server.client.post(CHAT, content=body)

    assert response.status_code == 200
    assert model.prompts[0].messages[0].content != ""


async def test_a_byte_order_mark_is_skipped() -> None:
    """Windows tools write one before a file, and curl sends the file as it is."""
    model = Scripted(ANSWER)
    async with headwater(model) as server:
        marked = await server.client.post(CHAT, content=BOM + asking(b"Hi"))
        plain = await server.client.post(CHAT, content=asking(b"Hi"))
        twice = await server.client.post(CHAT, content=BOM + BOM + asking(b"Hi"))

    assert [response.status_code for response in (marked, plain, twice)] == [200, 200, 400]
    assert len(model.prompts) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": [{"type": ["text"], "text": "x"}]}]},
        {"messages": [{"role": "user", "content": [{"type": {"text": 1}}]}]},
        {"messages": [{"role": "user", "content": [{"type": 5}]}]},
        {"messages": [{"role": ["user"], "content": "x"}]},
        {"messages": [{"role": {"user": 1}, "content": None}]},
        {"messages": [{"role": "user", "content": {"type": ["text"]}}]},
        {**chat(), "tools": [{"type": ["function"]}]},
        {**chat(), "tools": [{"type": {}, "function": {"name": "f"}}]},
        {**chat(), "model": ["m"]},
        {**chat(), "stop": {"a": 1}},
        {"messages": [{"role": "assistant", "tool_calls": [{"type": ["function"], "function": []}]}]},
    ],
    ids=json.dumps,
)
async def test_a_field_of_the_wrong_type_is_named(fields: dict[str, Any]) -> None:
    """An array where a word belongs is a mistake of the request, never a failure of the server."""
    model = Scripted(ANSWER)
    async with headwater(model) as server:
        response = await server.client.post(CHAT, json=fields)

    assert (response.status_code, response.json()["code"]) == (422, "invalid_prompt")
    assert "$." in response.json()["detail"]
    assert not model.prompts


LATIN = asking("h\xe9".encode("latin-1"))


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (gzip.compress(asking(b"Hi")), {"content-encoding": "gzip"}),
        (gzip.compress(asking(b"Hi")), {}),
        (asking(b"Hi"), {"content-encoding": "br"}),
        (asking(b"Hi"), {"content-encoding": "identity, deflate"}),
        (LATIN, {"content-type": "application/json; charset=iso-8859-1"}),
        (LATIN, {"content-type": "application/json"}),
        (LATIN, {}),
        (asking(b"Hi"), {"content-type": 'text/plain; format=flowed; Charset="windows-1252"'}),
        (asking(b"Hi").decode().encode("utf-16"), {}),
        (asking(b"Hi").decode().encode("utf-16-le"), {"content-type": "application/json; charset=utf-16le"}),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_a_body_in_another_encoding_is_refused(body: bytes, headers: dict[str, str]) -> None:
    """With the status that says so (415), and with what to send instead."""
    model = Scripted(ANSWER)
    async with headwater(model) as server:
        response = await server.client.post(CHAT, content=body, headers=headers)

    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")
    assert "UTF-8" in response.json()["detail"] or "Content-Encoding" in response.json()["detail"]
    assert not model.prompts


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json; charset=utf-8"},
        {"content-type": 'application/json;charset="UTF-8"'},
        {"content-type": "text/plain;charset=utf8"},
        {"content-type": "application/json; charset=us-ascii"},
        {"content-type": "application/json; charset="},
        {"content-type": "nonsense"},
        {"content-encoding": "identity"},
        {"content-encoding": ""},
    ],
    ids=str,
)
async def test_a_body_in_utf_8_is_read_however_its_headers_say_so(headers: dict[str, str]) -> None:
    """Also where the content type is none at all."""
    async with headwater(Scripted(ANSWER)) as server:
        response = await server.client.post(CHAT, content=asking(b"Hi"), headers=headers)

    assert response.status_code == 200
