"""Bare text of answers that are not text: what cannot be said in it is never an empty success."""

import asyncio

import httpx
import pytest
from serving import chat, headwater, post_chat, until

from headwater.entries import record
from headwater.events import (
    Continued,
    Event,
    Finish,
    ReasoningDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolResult,
)
from headwater.log.memory import MemoryStore
from headwater.models.scripted import Scripted
from headwater.offsets import Offset
from headwater.principal import ANYONE

TEXT = {"accept": "text/plain"}
CHAT = "/api/stream/completion/chat"
CALL: list[Event] = [ToolCallStart("c1", "f"), ToolCallDelta("c1", "{}"), ToolCallEnd("c1")]


@pytest.mark.parametrize(
    "events",
    [
        [*CALL, Finish("tool_calls")],
        [*CALL, Finish("stop")],
        [ReasoningDelta("hm"), *CALL, *CALL, Finish("tool_calls")],
        [*CALL, ToolResult("c1", "42"), Finish("stop")],
        [Finish("tool_calls")],
    ],
    ids=str,
)
async def test_a_stored_answer_that_is_only_a_tool_call_is_406(events: list[Event]) -> None:
    """With a word about the forms that can tell it, on a question and on its log."""
    async with headwater(Scripted(events)) as server:
        told = await post_chat(server.client)
        for response in (
            await post_chat(server.client, **TEXT),
            await server.client.get(told.headers["location"], headers=TEXT),
        ):
            assert (response.status_code, response.json()["code"]) == (406, "not_acceptable")
            assert "text/event-stream" in response.json()["detail"]
            assert "location" in response.headers


async def test_a_running_answer_that_turns_out_to_be_a_tool_call_breaks_the_connection_off() -> None:
    """The status has been sent by then; the next request learns it."""
    gate = asyncio.Event()
    model = Scripted([*CALL[:1], gate, *CALL[1:], Finish("tool_calls")])
    async with headwater(model) as server:
        async with server.client.stream("POST", CHAT, json=chat(), headers=TEXT) as response:
            assert response.status_code == 200
            gate.set()
            with pytest.raises(httpx.RemoteProtocolError):
                await response.aread()
        await until(lambda: not server.answers.running, "the answer has ended")
        again = await post_chat(server.client, **TEXT)

    assert again.status_code == 406
    assert len(model.prompts) == 1


@pytest.mark.parametrize(
    ("events", "text"),
    [
        ([TextDelta("Let me see."), *CALL, Finish("tool_calls")], "Let me see."),
        ([*CALL, ToolResult("c1", "42"), TextDelta("It is 42."), Finish("stop")], "It is 42."),
        ([ReasoningDelta("hm"), Finish("stop")], ""),
        ([Finish("stop")], ""),
        ([Finish("length")], ""),
    ],
    ids=str,
)
async def test_an_answer_with_text_or_without_anything_is_its_text(events: list[Event], text: str) -> None:
    """An answer whose text is empty is told as that."""
    async with headwater(Scripted(events)) as server:
        first = await post_chat(server.client, **TEXT)
        again = await post_chat(server.client, **TEXT)

    assert [(response.status_code, response.text) for response in (first, again)] == [(200, text)] * 2


async def test_the_rest_of_an_answer_may_be_without_text() -> None:
    """Whoever has read the text gets an empty rest, and 204 after the ending."""
    async with headwater(Scripted([TextDelta("Let me see."), *CALL, Finish("tool_calls")])) as server:
        location = (await post_chat(server.client)).headers["location"]
        rest = await server.client.get(location, headers={**TEXT, "last-event-id": "1-2"})
        over = await server.client.get(location, headers={**TEXT, "last-event-id": "1-6"})

    assert (rest.status_code, rest.text, over.status_code) == (200, "", 204)


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/api/streams/{}", {**TEXT, "last-event-id": "1-4.1"}), ("/api/chat/{}/stream?startIndex=6", {})],
    ids=["bare text", "AI SDK"],
)
async def test_a_reader_with_more_than_a_dead_server_had_stored_is_refused(path: str, headers: dict[str, str]) -> None:
    """Neither can take words back; from the beginning either gets the whole answer."""
    store, log = MemoryStore(), "0123456789ab-1"
    lease = await store.open(log, ANYONE, ttl=60, recovery=b"{}")
    shown = [Start(log, "m"), TextDelta("A river "), TextDelta("begins")]
    await store.append([record(Offset(1, n), 0.0, event) for n, event in enumerate(shown, 1)], lease)
    await store.release(lease)
    seam = record(Offset(2, 4), 1.0, Continued("server", "prompt", "1-3", rewind="1-3"))
    rest = [record(Offset(2, 5), 1.0, TextDelta(" in the hills.")), record(Offset(2, 6), 1.0, Finish("stop"))]
    await store.seal(rest, await store.take_over([seam], log))
    async with headwater(Scripted([]), store) as server:
        refused = await server.client.get(path.format(log), headers=headers)
        whole = await server.client.get(f"/api/streams/{log}", headers=TEXT)

    assert refused.status_code == 410
    assert "read it again from the beginning" in refused.text
    for words in ("A river ", "begins", " in the hills."):
        assert whole.text.count(words) == 1
