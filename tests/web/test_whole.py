"""An answer as one JSON object: for clients that do not stream, on the native routes that start one."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from serving import Headwater, chat, headwater, post_chat, until

from headwater.errors import ModelError
from headwater.events import Finish, Metadata, ReasoningDelta, TextDelta, ToolCallEnd, ToolCallStart, Usage
from headwater.log.memory import MemoryStore
from headwater.models.scripted import SILENCE, Scripted
from headwater.observe import Observer

JSON = {"accept": "application/json"}
CHAT = "/api/stream/completion/chat"
COMPLETION = "/api/stream/completion"
EVERYTHING = Scripted(
    [
        Metadata({"fitted": {"dropped": 2}}),
        ReasoningDelta("hm"),
        ToolCallStart("c1", "search"),
        ToolCallEnd("c1"),
        TextDelta("Hel"),
        TextDelta("lo"),
        Finish("stop", Usage(3, 2)),
    ]
)


async def location_of(server: Headwater) -> str:
    """The running answer's location, from a second request that joins it: a JSON response has it only at the end."""
    async with server.client.stream("POST", CHAT, json=chat()) as joined:
        return joined.headers["location"]


@pytest.mark.parametrize(("path", "body"), [(CHAT, chat()), (COMPLETION, {"prompt": "Hi"})], ids=["chat", "completion"])
async def test_an_answer_is_one_json_object_when_it_has_ended(path: str, body: dict[str, Any]) -> None:
    """It is the state of its log, and a miss like any other."""
    async with headwater(EVERYTHING) as server:
        whole = await server.client.post(path, json=body, headers=JSON)
        location = whole.headers["location"]
        state = await server.client.get(location, headers=JSON)

    assert (whole.status_code, whole.headers["content-type"]) == (200, "application/json")
    assert whole.headers["cache-status"] == "headwater; fwd=miss"
    assert whole.headers["cache-control"] == "no-cache"
    assert whole.json() == state.json()
    assert whole.json()["id"] == location.removeprefix("/api/streams/")
    assert (whole.json()["state"], whole.json()["text"], whole.json()["reasoning"]) == ("finished", "Hello", "hm")
    assert whole.json()["ending"] == {
        "type": "finish",
        "reason": "stop",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }


@pytest.mark.parametrize(
    ("accept", "stream", "form"),
    [
        ("*/*", False, "application/json"),
        (None, False, "application/json"),
        ("", False, "application/json"),
        ("application/json, text/plain, */*", False, "application/json"),
        ("application/json, text/event-stream", False, "application/json"),
        ("text/event-stream, */*;q=0.1", False, "application/json"),
        ("text/plain, application/*;q=0.5", False, "application/json"),
        ("text/event-stream", False, "text/event-stream"),
        ("text/event-stream, application/json;q=0", False, "text/event-stream"),
        ("text/plain", False, "text/plain"),
        ("text/*", False, "text/event-stream"),
        ("application/json", True, "application/json"),
        ("*/*", True, "text/event-stream"),
        ("*/*", None, "text/event-stream"),
        ("*/*", 0, "text/event-stream"),
        ("*/*", "false", "text/event-stream"),
    ],
    ids=str,
)
@pytest.mark.parametrize(("path", "body"), [(CHAT, chat()), (COMPLETION, {"prompt": "Hi"})], ids=["chat", "completion"])
async def test_a_body_without_streaming_wants_json_where_accept_allows_it(
    path: str, body: dict[str, Any], accept: str | None, stream: Any, form: str
) -> None:
    """As OpenAI's API understands `"stream": false`; who names only another form in `Accept` cannot read JSON."""
    async with headwater(EVERYTHING) as server:
        del server.client.headers["accept"]
        headers = {} if accept is None else {"accept": accept}
        first = await server.client.post(path, json={**body, "stream": stream}, headers=headers)
        plain = await server.client.post(path, json=body)

    assert (first.status_code, first.headers["content-type"].partition(";")[0]) == (200, form)
    if form == "application/json":
        assert (first.json()["text"], first.json()["state"]) == ("Hello", "finished")
    assert plain.headers["cache-status"].startswith("headwater; hit")


async def test_a_failure_without_streaming_is_a_refusal() -> None:
    """Whatever form the client would have streamed in."""
    failing = Scripted([TextDelta("part"), ModelError("boom", code="provider_cut", status=503, retryable=True)])
    async with headwater(failing) as server:
        for accept in ("*/*", "text/plain, application/json"):
            broken = await server.client.post(CHAT, json=chat(stream=False), headers={"accept": accept})
            assert (broken.status_code, broken.json()["code"]) == (503, "provider_cut")


async def test_a_stored_answer_is_the_same_in_either_form() -> None:
    """A stream that comes first is replayed as JSON, with the headers of a hit and a message id of its own."""
    async with headwater(EVERYTHING) as server:
        streamed = await post_chat(server.client)
        hit = await post_chat(server.client, **JSON)
        state = await server.client.get(streamed.headers["location"], headers=JSON)

    assert hit.headers["cache-status"].startswith("headwater; hit")
    assert hit.headers["age"] == "0"
    assert hit.headers["location"] != streamed.headers["location"]
    assert {**hit.json(), "id": state.json()["id"], "saved": None} == state.json()
    assert hit.json()["saved"]["tokens"] == 5


@pytest.mark.parametrize("before", [[], [TextDelta("part")]], ids=["before its first token", "in the middle"])
async def test_a_broken_answer_is_a_refusal_with_its_status(before: list[TextDelta]) -> None:
    """A part never looks whole; the part can be read at the `Location`."""
    failing = Scripted([*before, ModelError("boom", code="provider_cut", status=503, retryable=True)])
    async with headwater(failing) as server:
        broken = await post_chat(server.client, **JSON)
        state = await server.client.get(broken.headers["location"], headers=JSON)

    assert (broken.status_code, broken.headers["content-type"]) == (503, "application/problem+json")
    assert (broken.json()["code"], broken.json()["retryable"]) == ("provider_cut", True)
    assert (state.status_code, state.json()["state"]) == (200, "failed")
    assert state.json()["text"] == "".join(event.text for event in before)


async def test_a_request_that_cannot_be_served_is_a_refusal_too() -> None:
    """Before any log is there, so without a `Location`."""
    async with headwater(EVERYTHING) as server:
        bad = await server.client.post(CHAT, json={}, headers=JSON)
        absent = await post_chat(server.client, **JSON, **{"cache-control": "only-if-cached"})

    assert [(response.status_code, response.json()["code"]) for response in (bad, absent)] == [
        (422, "invalid_prompt"),
        (504, "not_cached"),
    ]
    assert "location" not in bad.headers


async def test_a_stopped_answer_is_the_part_that_was_written() -> None:
    """The response is the state with status 200, because a stop is no failure."""
    model = Scripted([TextDelta("part"), SILENCE])
    async with headwater(model) as server:
        asking = asyncio.create_task(post_chat(server.client, **JSON))
        await until(lambda: model.running, "the model runs")
        await server.client.post(f"{await location_of(server)}/stop")
        whole = await asking

    assert (whole.status_code, whole.json()["state"], whole.json()["text"]) == (200, "stopped", "part")
    assert whole.json()["ending"] == {"type": "stop", "by": "anyone"}


async def test_a_client_that_leaves_does_not_end_the_answer() -> None:
    """The generation goes on, and is whole for the next request."""
    gate = asyncio.Event()
    model = Scripted([TextDelta("a"), gate, TextDelta("b"), Finish("stop")])
    async with headwater(model) as server:
        asking = asyncio.create_task(post_chat(server.client, **JSON))
        await until(lambda: model.running, "the model runs")
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        gate.set()
        again = await post_chat(server.client, **JSON)

    assert again.json()["text"] == "ab"
    assert len(model.prompts) == 1


async def test_a_draining_server_finishes_its_own_answers_and_sends_readers_of_others_away() -> None:
    """The second server reads a log that the first one writes; its client has to repeat the request elsewhere."""

    class Came(Observer):
        def reader_came(self, log: str, dialect: str) -> None:
            came.set()

    gate, came, store = asyncio.Event(), asyncio.Event(), MemoryStore()
    model = Scripted([TextDelta("a"), gate, TextDelta("b"), Finish("stop")])
    async with (
        headwater(model, store) as writing,
        headwater(Scripted([]), store, observers=[Came()]) as reading,
    ):
        own = asyncio.create_task(post_chat(writing.client, **JSON))
        await until(lambda: model.running, "the model runs")
        joined = asyncio.create_task(post_chat(reading.client, **JSON))
        await asyncio.wait_for(came.wait(), 5)
        for server in (reading, writing):
            server.answers.drain()
        sent_away = await joined
        gate.set()
        whole = await own

    assert (sent_away.status_code, sent_away.json()["code"]) == (503, "shutdown")
    assert sent_away.headers["location"].startswith(whole.headers["location"])
    assert whole.json()["text"] == "ab"
