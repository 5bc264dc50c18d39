"""OpenAI's Responses API over HTTP: made, streamed, asked for later, continued, cancelled and forgotten."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Headwater, chat, headwater, until
from starlette.requests import Request

from headwater.dialects.native import request as native
from headwater.dialects.responses.request import read
from headwater.errors import ModelError, StoreError
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
from headwater.log.memory import MemoryStore
from headwater.log.sqlite.store import SqliteStore
from headwater.models.scripted import SILENCE, Scripted
from headwater.principal import Principal

HELLO = Scripted([TextDelta("Hel"), TextDelta("lo"), Finish("stop", Usage(3, 2))])
CALL = [ToolCallStart("c1", "look"), ToolCallDelta("c1", "{}"), ToolCallEnd("c1"), Finish("tool_calls")]
JSON = dict[str, Any]


async def made(server: Headwater, **fields: Any) -> JSON:
    """A response that was asked for as one object."""
    return (await server.client.post("/v1/responses", json={"input": "Hi", **fields})).json()


def events(body: str) -> list[JSON]:
    """The events of a stream."""
    return [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: ")]


async def test_a_response_is_one_object_or_a_stream_of_numbered_events() -> None:
    """Both tell the same output, and what was asked is repeated."""
    model = Scripted([TextDelta("Hel"), TextDelta("lo"), Finish("stop", Usage(3, 2))])
    async with headwater(model) as server:
        whole = await made(server, instructions="Be kind.", metadata={"a": "b"})
        body = {"input": "Hi", "instructions": "Be kind.", "stream": True}
        told = events((await server.client.post("/v1/responses", json=body)).text)

    assert whole["id"].startswith("resp_")
    assert (whole["status"], whole["instructions"], whole["metadata"]) == ("completed", "Be kind.", {"a": "b"})
    assert whole["output"][0]["content"][0]["text"] == "Hello"
    assert whole["usage"]["total_tokens"] == 5
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert (told[0]["type"], told[-1]["type"]) == ("response.created", "response.completed")
    assert told[-1]["response"]["output"][0]["content"] == whole["output"][0]["content"]
    assert told[-1]["response"]["instructions"] == "Be kind."
    assert len(model.prompts) == 1, "the second was a hit"


async def test_it_is_asked_for_later_from_any_event_on_by_another_server(tmp_path: Path) -> None:
    """The count means the same everywhere, also after the end; and from the beginning without a count."""
    async with headwater(HELLO, SqliteStore(tmp_path / "logs")) as server:
        whole = await made(server)
    async with headwater(Scripted([]), SqliteStore(tmp_path / "logs")) as other:
        path = f"/v1/responses/{whole['id']}"
        again = (await other.client.get(path)).json()
        uncut = events((await other.client.get(path, params={"stream": "true"})).text)
        for after in range(len(uncut)):
            query = {"stream": "true", "starting_after": str(after)}
            assert events((await other.client.get(path, params=query)).text) == uncut[after + 1 :]
        odd = await other.client.get(path, params={"stream": "true", "starting_after": "x"})

    assert again == whole
    assert uncut[-1]["response"]["output"] == whole["output"]
    assert (odd.status_code, odd.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_one_in_the_background_is_answered_at_once_and_goes_on() -> None:
    """It is polled until it has ended, and cancelled from anywhere."""
    async with headwater(Scripted([TextDelta("Hel"), SILENCE])) as server:
        queued = await made(server, background=True)
        path = f"/v1/responses/{queued['id']}"
        await until(lambda: server.answers.running == 1, "it runs without a reader")
        running = (await server.client.get(path)).json()
        while not running["output"]:
            running = (await server.client.get(path)).json()
        cancelled = (await server.client.post(f"{path}/cancel")).json()
        again = (await server.client.post(f"{path}/cancel")).json()

    assert (queued["status"], running["status"]) == ("queued", "in_progress")
    assert queued["created_at"] > 0
    assert (running["output"][0]["status"], running["output"][0]["content"][0]["text"]) == ("in_progress", "Hel")
    assert cancelled["status"] == again["status"] == "cancelled"
    assert cancelled["output"][0]["status"] == "incomplete"


async def test_a_running_one_that_is_forgotten_is_ended() -> None:
    """Nobody could end it afterwards, and the provider would be paid for an answer that nobody finds."""
    async with headwater(Scripted([TextDelta("Hel"), SILENCE])) as server:
        queued = await made(server, background=True)
        await until(lambda: server.answers.running == 1, "it runs without a reader")
        deleted = await server.client.delete(f"/v1/responses/{queued['id']}")

        assert deleted.json()["deleted"] is True
        await until(lambda: server.answers.running == 0, "its run has ended")


class Keeping(MemoryStore):
    """A store that knows the sizes of what was asked for responses, and that may fail to keep it."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, int] = {}
        self.full = False

    async def put(self, name: str, value: bytes, **more: Any) -> Any:
        if name.startswith("response:"):
            if self.full:
                raise StoreError("the disk is full")
            self.kept[name] = len(value)
        return await super().put(name, value, **more)

    async def delete(self, name: str, **more: Any) -> None:
        self.kept.pop(name, None)
        await super().delete(name, **more)


@pytest.mark.parametrize("extra", [0, 1200_000])
async def test_one_that_is_larger_than_a_document_is_found_continued_and_forgotten(extra: int) -> None:
    """An image that is part of its input, say, also where its last document is full."""
    store, model = Keeping(), Scripted([TextDelta("Hello"), Finish("stop")])
    async with headwater(model, store) as server:

        async def ask(size: int) -> JSON:
            seen = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * size}
            return await made(server, input=[{"role": "user", "content": [seen]}], background=True)

        await ask(0)
        size = 512 * 1024 - sum(store.kept.values()) + extra
        store.kept.clear()
        queued = await ask(size)
        path = f"/v1/responses/{queued['id']}"
        assert (queued["status"], sum(store.kept.values())) == ("queued", 512 * 1024 + extra)
        await until(lambda: not server.answers.running, "it has ended")
        image = (await server.client.get(f"{path}/input_items")).json()["data"][0]["content"][0]["image_url"]
        await made(server, input="And now?", previous_response_id=queued["id"], store=False)
        await server.client.delete(path)

    assert len(image) == size + len("data:image/png;base64,")
    assert model.prompts[2].messages[0] == model.prompts[1].messages[0]
    assert not store.kept


async def test_a_conversation_that_has_become_too_large_is_refused_before_the_model_is_asked() -> None:
    """A body alone is bounded; with its earlier turns it is by the same bound."""
    model = Scripted([TextDelta("Hello"), Finish("stop")])
    async with headwater(model) as server:
        first = await made(server, input="x" * 3_000_000)
        body = {"input": "y" * 3_000_000, "previous_response_id": first["id"]}
        refused = await server.client.post("/v1/responses", json=body)

    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "body_too_large")
    assert len(model.prompts) == 1


async def test_one_in_the_background_that_cannot_be_kept_is_refused() -> None:
    """Nobody could find it, so it must not look queued."""
    store = Keeping()
    store.full = True
    async with headwater(HELLO, store) as server:
        refused = await server.client.post("/v1/responses", json={"input": "Hi", "background": True})

    assert refused.status_code == 503
    assert refused.json()["error"]["type"] == "server_error"


async def test_a_conversation_goes_on_from_the_previous_response() -> None:
    """With its messages and its answer, and without its instructions."""
    model = Scripted([TextDelta("Hello"), Finish("stop")])
    async with headwater(model) as server:
        first = await made(server, instructions="Be kind.")
        await made(server, input="And now?", previous_response_id=first["id"])

    assert [(m.role, m.content) for m in model.prompts[1].messages] == [
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "And now?"),
    ]


async def test_a_call_is_answered_by_its_output() -> None:
    """A replayed call has an id of its own, which its output names."""
    model = Scripted(CALL)
    async with headwater(model) as server:
        await made(server)
        hit = await made(server)
        call = hit["output"][0]
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "42"}
        await made(server, input=[output], previous_response_id=hit["id"])

    assert call["call_id"] != "c1"
    asked = model.prompts[1].messages[1].tool_calls
    assert asked is not None
    assert asked[0].id == model.prompts[1].messages[2].tool_call_id == call["call_id"]


async def test_what_the_provider_needs_back_goes_on_with_the_conversation() -> None:
    """Such as the signature of a thought, without which some refuse a call's output."""
    signed, details = {"extra_content": {"google": {"thought_signature": "abc"}}}, [{"type": "reasoning.encrypted"}]
    own = {"reasoning_details": details, "annotations": [1], "tool_calls": {"c1": signed}}
    model = Scripted([*CALL[:-1], Metadata({"provider_fields": own}), CALL[-1]])
    async with headwater(model) as server:
        first = await made(server)
        output = {"type": "function_call_output", "call_id": "c1", "output": "42"}
        second = await made(server, input=[output], previous_response_id=first["id"])
        await made(server, previous_response_id=second["id"])

    for prompt in model.prompts[1:]:
        assert prompt.messages[1].provider == {"reasoning_details": details}
        assert [call.provider for call in prompt.messages[1].tool_calls or ()] == [signed]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"previous_response_id": "resp_0123456789ab-00"}, "previous_response_not_found"),
        ({"tools": [{"type": "web_search"}]}, "unsupported_value"),
        ({"conversation": "conv_1"}, "unsupported_value"),
        ({"top_logprobs": 3}, "unsupported_value"),
        ({"input": None}, "invalid_prompt"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "unsupported_value"),
        ({"previous_response_id": 5}, "invalid_prompt"),
        ({"text": {"format": "json"}}, "invalid_prompt"),
        ({"background": True, "store": False}, "invalid_prompt"),
    ],
)
async def test_what_cannot_be_served_is_refused_in_openais_form(fields: JSON, code: str) -> None:
    """Never ignored: the caller would get another answer than asked for."""
    async with headwater(HELLO) as server:
        refused = await server.client.post("/v1/responses", json={"input": "Hi", **fields})

    assert (refused.status_code, refused.json()["error"]["code"]) == (400, code)
    assert refused.headers["x-should-retry"] == "false"


async def test_one_that_is_not_stored_or_forgotten_is_not_found() -> None:
    """Nor is another tenant's."""
    who = Principal("acme", "ann")
    async with headwater(HELLO, who=lambda _: who) as server:
        unstored, stored = await made(server, store=False), await made(server)
        who = Principal("other", "bob")
        theirs = await server.client.get(f"/v1/responses/{stored['id']}")
        who = Principal("acme", "ann")
        items = (await server.client.get(f"/v1/responses/{stored['id']}/input_items")).json()
        deleted = (await server.client.delete(f"/v1/responses/{stored['id']}")).json()
        gone = [await server.client.get(f"/v1/responses/{id}") for id in (unstored["id"], stored["id"])]

    assert items["data"][0]["content"] == [{"type": "input_text", "text": "Hi"}]
    assert deleted == {"id": stored["id"], "object": "response.deleted", "deleted": True}
    assert [response.status_code for response in (theirs, *gone)] == [404, 404, 404]
    assert gone[0].json()["error"]["code"] == "response_not_found"


@asynccontextmanager
async def failing(*steps: Any) -> AsyncGenerator[httpx.AsyncClient]:
    async with headwater(Scripted([*steps, ModelError("overloaded", code="busy", status=503)])) as server:
        yield server.client


async def test_a_failure_is_an_error_before_the_first_token_and_a_failed_response_after_it() -> None:
    """With the part that came."""
    async with failing() as client:
        before = await client.post("/v1/responses", json={"input": "Hi", "stream": True})
    async with failing(TextDelta("Hel")) as client:
        after = events((await client.post("/v1/responses", json={"input": "Hi", "stream": True})).text)

    assert (before.status_code, before.json()["error"]["code"]) == (503, "busy")
    assert after[-1]["type"] == "response.failed"
    assert after[-1]["response"]["error"] == {"code": "busy", "message": "Overloaded."}
    assert after[-1]["response"]["output"][0]["content"][0]["text"] == "Hel"


async def test_items_are_in_the_order_in_which_they_came_in_every_form() -> None:
    """Streamed, whole and polled, under ids that do not differ."""
    steps = [TextDelta("Let me see."), *CALL[:-1], ReasoningDelta("Hm"), TextDelta("Hi"), Finish("stop")]
    async with headwater(Scripted(steps)) as server:
        whole = await made(server)
        path = f"/v1/responses/{whole['id']}"
        told = events((await server.client.get(path, params={"stream": "true"})).text)
        polled = (await server.client.get(path)).json()

    assert [item["type"] for item in whole["output"]] == ["message", "function_call", "reasoning", "message"]
    assert [event["item"] for event in told if event["type"] == "response.output_item.done"] == whole["output"]
    assert told[-1]["response"] == whole == polled


def test_the_same_question_is_the_same_prompt_as_through_the_chat_api() -> None:
    """So that both have one key, and one answer."""
    tool = {"name": "look", "description": "Look.", "parameters": {"type": "object"}}
    schema = {"name": "n", "schema": {"type": "object"}, "strict": True}
    image, call = "data:image/png;base64,AAAA", {"name": "look", "arguments": "{}"}
    seen = [{"type": "input_text", "text": "What?"}, {"type": "input_image", "image_url": image}]
    shown = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": image}}]
    body: JSON = {
        "model": "m",
        "instructions": "Be kind.",
        "input": [
            {"role": "user", "content": seen},
            {"type": "reasoning", "summary": []},
            {"type": "function_call", "call_id": "c1", **call},
            {"type": "function_call_output", "call_id": "c1", "output": "42"},
            {"role": "user", "content": "And?"},
        ],
        "tools": [{"type": "function", **tool}],
        "tool_choice": {"type": "function", "name": "look"},
        "text": {"format": {"type": "json_schema", **schema}},
        "max_output_tokens": 5,
        "reasoning": {"effort": "low"},
    }
    asked = chat(
        model="m",
        messages=[
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": shown},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": call}]},
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
            {"role": "user", "content": "And?"},
        ],
        tools=[{"type": "function", "function": tool}],
        tool_choice={"type": "function", "function": {"name": "look"}},
        response_format={"type": "json_schema", "json_schema": schema},
        max_tokens=5,
        reasoning_effort="low",
    )

    assert read(json.dumps(body).encode()).ask([]).prompt == native.chat(json.dumps(asked).encode()).prompt


async def test_finer_counts_of_tokens_are_told_under_whatever_name_a_model_reports_them() -> None:
    """Those of OpenAI's API and those of LangChain."""
    details = {"input_token_details": {"cache_read": 1}, "output_token_details": {"reasoning": 2}}
    async with headwater(Scripted([TextDelta("Hi"), Finish("stop", Usage(3, 2, details))])) as server:
        usage = (await made(server))["usage"]

    assert usage["input_tokens_details"] == {"cached_tokens": 1}
    assert usage["output_tokens_details"] == {"reasoning_tokens": 2}


async def test_who_asks_the_same_learns_nothing_of_the_first_request_by_its_id() -> None:
    """Both have one log, so the id of the second leads to that of the first. What that one said besides is its own."""

    def who(request: Request) -> Principal:
        return Principal("acme", request.headers["x-who"])

    async with headwater(Scripted([TextDelta("Hello"), Finish("stop")]), who=who) as server:

        async def send(subject: str, method: str, path: str = "", **fields: Any) -> httpx.Response:
            more: JSON = {"json": {"input": "Hi", **fields}} if method == "POST" else {}
            return await server.client.request(method, f"/v1/responses{path}", headers={"x-who": subject}, **more)

        first = (await send("ann", "POST", metadata={"note": "private"})).json()["id"]
        second = (await send("bob", "POST")).json()["id"]
        assert second.partition("~")[0] == first
        tried = [await send("bob", method, f"/{first}") for method in ("GET", "DELETE")]
        tried += [await send("bob", "GET", f"/{first}/input_items"), await send("bob", "POST", f"/{first}/cancel")]
        tried += [await send("bob", "POST", previous_response_id=first)]
        own = await send("bob", "GET", f"/{second}"), await send("ann", "GET", f"/{first}")

    assert [each.status_code for each in tried] == [404, 404, 404, 404, 400]
    assert [each.status_code for each in own] == [200, 200]
    assert not any("private" in each.text for each in (*tried, own[0]))
