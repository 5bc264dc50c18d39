"""The three original routes, as a client sees them."""

import asyncio
import re
import time
from typing import Any

import pytest
from serving import chat, frames, headwater, parse, post_chat, text_of

from headwater.events import (
    Finish,
    Metadata,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from headwater.models.scripted import Scripted
from headwater.web.response import Pace

HELLO = Scripted([TextDelta("Hel"), TextDelta("lo"), Finish("stop", Usage(3, 2))])


async def test_the_minimal_stream_needs_no_model_and_ends() -> None:
    """GET and POST give the same five ticks, so that a browser's address bar can show whether a proxy buffers."""
    async with headwater(HELLO) as server:
        for method in ("GET", "POST"):
            response = await server.client.request(method, "/api/stream")

            received = parse(response.content)
            assert [frame["type"] for frame in received] == ["start", *["text-delta"] * 5, "finish"]


async def test_a_completion_takes_message_or_prompt() -> None:
    """Both names of the field reach the model as one message of the user."""
    model = Scripted([TextDelta("x"), Finish("stop")])
    async with headwater(model) as server:
        for field in ("message", "prompt"):
            response = await server.client.post("/api/stream/completion", json={field: f"Once {field}"})
            assert text_of(parse(response.content)) == "x"

    assert [(p.kind, p.messages[0].content) for p in model.prompts] == [
        ("completion", "Once message"),
        ("completion", "Once prompt"),
    ]


async def test_a_body_is_read_whatever_its_content_type_says() -> None:
    """The original page posts JSON as text/event-stream."""
    async with headwater(HELLO) as server:
        response = await server.client.post(
            "/api/stream/completion", content=b'{"message": "Hi"}', headers={"content-type": "text/event-stream"}
        )

        assert text_of(parse(response.content)) == "Hello"


async def test_a_history_as_openais_client_keeps_it_is_answered() -> None:
    """With tool calls, a result that is empty, and an answer that was stopped before its first word."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns: list[dict[str, Any]] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": []},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "Go on"},
    ]
    model = Scripted([TextDelta("x"), Finish("stop")])
    async with headwater(model) as server:
        response = await server.client.post("/api/stream/completion/chat", json={"messages": turns})

    assert (response.status_code, text_of(parse(response.content))) == (200, "x")
    roles = [message.role for message in model.prompts[0].messages]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]


async def test_every_header_of_a_stream_is_there() -> None:
    """What proxies, browsers and our own client rely on."""
    async with headwater(HELLO) as server:
        response = await post_chat(server.client)

        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-cache, no-transform"
        assert response.headers["connection"] == "keep-alive"
        assert response.headers["x-accel-buffering"] == "no"
        assert response.headers["cache-status"] == "headwater; fwd=miss"
        assert response.headers["location"].startswith("/api/streams/")
        assert "content-encoding" not in response.headers
        assert "content-length" not in response.headers
        assert "age" not in response.headers


async def test_the_bytes_of_a_stream_are_exactly_these() -> None:
    """LF only, an id for each entry, one line of ASCII JSON, the retry time once."""
    model = Scripted([TextDelta("né\u2028\U0001f600"), Finish("stop", Usage(1, 2))])
    async with headwater(model) as server:
        response = await post_chat(server.client)

        log = response.headers["location"].removeprefix("/api/streams/")
        run = log.rpartition("-")[2].encode()
        assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]{16}", log)
        body, created = re.subn(
            rb',"created":[0-9]{10}}', b"}", response.content.replace(b"." + run + b"\n", b".RUN\n")
        )
        assert created == 1
        assert body == (
            b"retry: 2000\n"
            b'data: {"type":"start","message_id":"' + log.encode() + b'","model":"scripted"}\nid: 1-1.RUN\n\n'
            b'data: {"type":"text-delta","text":"n\\u00e9\\u2028\\ud83d\\ude00"}\nid: 1-2.RUN\n\n'
            b'data: {"type":"finish","reason":"stop","usage":{"input_tokens":1,"output_tokens":2}}\nid: 1-3.RUN\n\n'
        )


async def test_every_kind_of_event_reaches_the_client() -> None:
    """Reasoning, tool calls and metadata are not text, and are not lost."""
    model = Scripted(
        [
            Metadata({"fitted": {"dropped": 2}}),
            ReasoningDelta("hm"),
            ToolCallStart("c1", "search"),
            ToolCallDelta("c1", '{"q":'),
            ToolCallDelta("c1", '"x"}'),
            ToolCallEnd("c1"),
            Finish("tool_calls"),
        ]
    )
    async with headwater(model) as server:
        received = parse((await post_chat(server.client)).content)

    assert [dict(frame) for frame in received[1:]] == [
        {"type": "metadata", "data": {"fitted": {"dropped": 2}}},
        {"type": "reasoning-delta", "text": "hm"},
        {"type": "tool-call-start", "id": "c1", "name": "search"},
        {"type": "tool-call-delta", "id": "c1", "arguments": '{"q":'},
        {"type": "tool-call-delta", "id": "c1", "arguments": '"x"}'},
        {"type": "tool-call-end", "id": "c1"},
        {"type": "finish", "reason": "tool_calls"},
    ]


async def test_bare_text_is_the_tokens_and_nothing_else() -> None:
    """`Accept: text/plain` is for curl and for pages that append what they receive."""
    async with headwater(HELLO) as server:
        response = await post_chat(server.client, accept="text/plain")

        assert response.headers["content-type"] == "text/plain; charset=utf-8"
        assert response.text == "Hello"


@pytest.mark.parametrize(
    ("accept", "dialect"),
    [
        (["text/plain;q=0, */*"], "text/event-stream"),
        (["Text/Plain"], "text/plain"),
        (["text/plain;q=0.5, text/event-stream"], "text/event-stream"),
        (["text/event-stream;q=0.5", "text/plain"], "text/plain"),
        (["application/json, text/plain, */*"], "text/plain"),
        (["application/json"], "application/json"),
        (["application/json, text/plain;q=0.9"], "application/json"),
        (["text/plain, application/json, text/event-stream"], "text/event-stream"),
        (["text/*;q=0.8, */*;q=0.1"], "text/event-stream"),
        (["image/png"], "text/event-stream"),
        (["text/html, */*"], "text/event-stream"),
    ],
    ids=str,
)
async def test_the_form_is_the_one_that_the_client_prefers(accept: list[str], dialect: str) -> None:
    """By RFC 9110's rules: weights count, case and the number of lines do not."""
    async with headwater(HELLO) as server:
        lines = [("accept", line) for line in accept]
        del server.client.headers["accept"]
        response = await server.client.post("/api/stream/completion/chat", json=chat(), headers=lines)

    assert response.headers["content-type"].partition(";")[0] == dialect


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("*/*", "text/event-stream"),
        ("application/json, text/plain, */*", "application/json"),
        ("text/plain, application/json;q=0.5", "text/plain"),
    ],
    ids=str,
)
async def test_a_log_that_was_started_prefers_json_over_bare_text(accept: str, form: str) -> None:
    """Common HTTP clients accept JSON and text alike: a log gives them its state, a new answer its text."""
    async with headwater(HELLO) as server:
        location = (await post_chat(server.client)).headers["location"]
        response = await server.client.get(location, headers={"accept": accept})

    assert response.headers["content-type"].partition(";")[0] == form


async def test_a_token_leaves_before_the_next_one_is_made() -> None:
    """Nothing on the way buffers: each token is read while the model still waits to make the next."""
    gates = [asyncio.Event() for _ in range(4)]
    model = Scripted([step for i, gate in enumerate(gates) for step in (gate, TextDelta(str(i)))] + [Finish("stop")])
    async with (
        headwater(model, pace=Pace(hold=0.01)) as server,
        server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as response,
    ):
        read = frames(response)
        assert (await anext(read))["type"] == "start"
        for i, gate in enumerate(gates):
            gate.set()
            assert (await anext(read))["text"] == str(i)
        assert (await anext(read))["type"] == "finish"


async def test_silence_is_filled_with_comments() -> None:
    """A thinking model must not look like a dead connection to a proxy, nor may a heartbeat look like an event."""
    gate = asyncio.Event()
    model = Scripted([TextDelta("a"), gate, TextDelta("b"), Finish("stop")])
    async with (
        headwater(model, pace=Pace(heartbeat=0.05)) as server,
        server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as response,
    ):
        body = b""
        async for piece in response.aiter_raw():
            body += piece
            if body.count(b":\n") >= 3 and not gate.is_set():
                gate.set()

        assert text_of(parse(body)) == "ab"


async def test_headers_wait_for_the_first_event_but_not_for_long() -> None:
    """A slow model's client learns after the hold that it is connected, and where its log is."""
    gate = asyncio.Event()
    model = Scripted([gate, TextDelta("late"), Finish("stop")])
    async with headwater(model, pace=Pace(hold=0.2)) as server:
        began = time.monotonic()
        async with server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as response:
            assert 0.2 <= time.monotonic() - began < 2
            assert response.status_code == 200
            gate.set()
            assert text_of([frame async for frame in frames(response)]) == "late"
