"""The routes of OpenAI's API: its forms of answers and failures, over the same logs as every other route."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from serving import Headwater, chat, headwater, post_chat, until
from test_keys import ANN, bearer, keys, locked

from headwater.answers.claim import Caching
from headwater.dialects.native import request as native
from headwater.dialects.openai.request import read
from headwater.errors import ModelError
from headwater.events import (
    Event,
    Finish,
    Metadata,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from headwater.models.scripted import SILENCE, Scripted

CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
HELLO: list[Event] = [TextDelta("Hel"), TextDelta("lo"), Finish("stop", Usage(3, 2))]
CALL: list[Event] = [
    ReasoningDelta("Hm"),
    ToolCallStart("c1", "weather"),
    ToolCallDelta("c1", '{"city":'),
    ToolCallDelta("c1", '"Oslo"}'),
    ToolCallEnd("c1"),
    Finish(
        "tool_calls", Usage(9, 4, {"input_token_details": {"cache_read": 8}, "output_token_details": {"reasoning": 1}})
    ),
]
USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}


def chunks(body: str) -> list[Any]:
    """The JSON of each frame; the word at the end as it is."""
    data = [line[6:] for line in body.split("\n") if line.startswith("data: ")]
    return [each if each == "[DONE]" else json.loads(each) for each in data]


async def post(server: Headwater, path: str = CHAT, attempt: int | None = None, **fields: Any) -> httpx.Response:
    """Ask in OpenAI's form, streamed unless the fields say otherwise; `attempt` as its SDKs count their own."""
    headers = {} if attempt is None else {"x-stainless-retry-count": str(attempt)}
    body = {**(chat() if path == CHAT else {"prompt": "Hi"}), "stream": True, **fields}
    return await server.client.post(path, json=body, headers=headers)


async def test_a_stream_and_an_object_come_from_one_log_with_the_native_one() -> None:
    """Four clients, one call of the model; each under ids of its own."""
    model = Scripted(HELLO)
    async with headwater(model) as server:
        streamed, whole = await post(server), await post(server, stream=False)
        counted, own = await post(server, **USAGE), await post_chat(server.client)

    first, *_, last, done = chunks(streamed.text)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert (last["choices"][0]["finish_reason"], done) == ("stop", "[DONE]")
    assert "usage" not in last
    assert whole.json()["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    *others, usage, _ = chunks(counted.text)
    assert {each["usage"] for each in others} == {None}
    assert usage["choices"] == []
    assert usage["usage"] == whole.json()["usage"]
    assert usage["usage"]["total_tokens"] == 5
    for response, id in ((streamed, first["id"]), (whole, whole.json()["id"]), (counted, usage["id"])):
        assert response.headers["x-request-id"] == id
        assert response.headers["location"] == f"/api/streams/{id}"
    assert first["created"] == whole.json()["created"] > 1_700_000_000
    assert own.headers["cache-status"].startswith("headwater; hit")
    assert len(model.prompts) == 1


async def test_a_tool_call_is_told_piece_by_piece_and_whole() -> None:
    """With its reasoning, and under a fresh id in a replay: no two messages of a chat may share one."""
    async with headwater(Scripted(CALL)) as server:
        streamed, whole = await post(server), await post(server, stream=False)

    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(streamed.text)[1:-2]]
    assert deltas[0] == {"reasoning_content": "Hm"}
    first, *rest = [delta["tool_calls"][0] for delta in deltas[1:]]
    assert first == {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    assert [piece["function"]["arguments"] for piece in rest] == ['{"city":', '"Oslo"}']
    choice = whole.json()["choices"][0]
    message, call = choice["message"], choice["message"]["tool_calls"][0]
    assert (message["content"], message["reasoning_content"], choice["finish_reason"]) == (None, "Hm", "tool_calls")
    assert call["function"] == {"name": "weather", "arguments": '{"city":"Oslo"}'}
    assert call["id"] == f"c1_{whole.json()['id'].partition('~')[2]}" != "c1_"
    counts = whole.json()["usage"]
    assert counts["prompt_tokens_details"] == {"cached_tokens": 8}
    assert counts["completion_tokens_details"] == {"reasoning_tokens": 1}


async def test_what_the_provider_needs_back_is_part_of_the_message() -> None:
    """Clients send a message back as it came; a stream has it in its last delta."""
    signed, details = {"extra_content": {"google": {"thought_signature": "abc"}}}, [{"type": "reasoning.encrypted"}]
    own = {"reasoning_details": details, "annotations": [1], "tool_calls": {"c1": signed, "other": signed}}
    model = Scripted([*CALL[:-1], Metadata({"provider_fields": own}), CALL[-1]])
    async with headwater(model) as server:
        streamed, whole = await post(server), await post(server, stream=False)
        message = whole.json()["choices"][0]["message"]
        result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "42"}
        await post(server, messages=[*chat()["messages"], message, result])

    assert chunks(streamed.text)[-3]["choices"][0]["delta"] == {
        "reasoning_details": details,
        "tool_calls": [{**signed, "index": 0, "function": {}}],
    }
    assert "annotations" not in message
    turn = model.prompts[1].messages[1]
    assert turn.provider == {"reasoning_content": "Hm", "reasoning_details": details}
    assert [call.provider for call in turn.tool_calls or ()] == [signed]


async def test_a_completion_has_its_own_form() -> None:
    """And is the answer that the native route for completions gives."""
    async with headwater(Scripted(HELLO)) as server:
        streamed, whole = await post(server, COMPLETION), await post(server, COMPLETION, stream=None)
        own = await server.client.post("/api/stream/completion", json={"prompt": "Hi"})

    assert [chunk["choices"][0]["text"] for chunk in chunks(streamed.text)[:-1]] == ["Hel", "lo", ""]
    assert whole.json()["object"] == "text_completion"
    assert whole.json()["choices"][0]["text"] == "Hello"
    assert own.headers["cache-status"].startswith("headwater; hit")


SAME = [
    {"max_tokens": 5},
    {"temperature": 0.5, "stop": "END", "tools": [{"type": "function", "function": {"name": "f"}}]},
    {"response_format": {"type": "json_object"}, "reasoning_effort": "low", "user": "ann"},
    {
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                    {"type": "file", "file": {"file_id": "file-1"}},
                ],
            },
        ]
    },
]


@pytest.mark.parametrize("fields", SAME, ids=lambda fields: next(iter(fields)))
def test_the_same_question_is_the_same_prompt_as_on_the_native_route(fields: dict[str, Any]) -> None:
    """So both share the answer."""
    body = json.dumps({**chat(), **fields}).encode()
    assert read(body, "chat").ask.prompt == native.chat(body).prompt


def test_what_changes_no_answer_changes_no_prompt() -> None:
    """Two names of one limit, the defaults that some clients always send, and nulls."""
    plain = read(json.dumps(chat(max_tokens=5)).encode(), "chat").ask.prompt
    more: dict[str, Any] = {"n": 1, "logprobs": False, "temperature": None, "tools": None, "stream": True, **USAGE}
    assert read(json.dumps(chat(max_completion_tokens=5, **more)).encode(), "chat").ask.prompt == plain


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"temperature": 9}, "temperature"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
    ],
)
async def test_a_bad_request_is_openais_and_names_the_field(fields: dict[str, Any], param: str) -> None:
    """Which the SDKs raise as `BadRequestError`, and do not repeat."""
    async with headwater(Scripted(HELLO)) as server:
        response = await post(server, **fields)

    error = response.json()["error"]
    assert (response.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert response.headers["x-should-retry"] == "false"
    assert error["message"]


async def test_failures_have_openais_form_at_every_path() -> None:
    """Its own codes where applications look for them."""
    async with locked(valid=keys()) as server:
        nobody = await post(server)
        unknown = await server.client.post(CHAT, json=chat(model="gpt-9"), headers=bearer(ANN))
        nowhere = await server.client.post("/v1/embeddings", json={}, headers=bearer(ANN))
        method = await server.client.get(CHAT, headers=bearer(ANN))
        closed = await server.client.get("/v1/models")

    found = [(each.status_code, each.json()["error"]["code"]) for each in (nobody, unknown, nowhere, method, closed)]
    assert found == [
        (401, "invalid_api_key"),
        (404, "model_not_found"),
        (404, "not_found"),
        (405, "method_not_allowed"),
        (401, "invalid_api_key"),
    ]
    assert (nobody.headers["www-authenticate"], method.headers["allow"]) == ("Bearer", "POST")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_before_the_first_token_says_whether_to_retry(stream: bool) -> None:
    """And when, in both headers that the SDKs read."""
    busy = ModelError("too many", code="rate_limited", status=429, retryable=True, retry_after=1.5)
    async with headwater(Scripted([busy])) as server:
        response = await post(server, stream=stream)

    assert (response.status_code, response.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    headers = ("x-should-retry", "retry-after", "retry-after-ms")
    assert [response.headers[name] for name in headers] == ["true", "2", "1500"]
    assert response.headers["x-request-id"] in response.headers["location"]


async def test_a_failure_in_mid_stream_is_an_error_object_without_done() -> None:
    """A part never looks whole: neither streamed nor as an object."""
    broken = Scripted([TextDelta("Hel"), ModelError("gone", code="provider_cut", status=502)])
    async with headwater(broken) as server:
        streamed, whole = await post(server), await post(server, stream=False)

    assert chunks(streamed.text)[-1]["error"]["code"] == "provider_cut"
    assert "[DONE]" not in streamed.text
    assert '"finish_reason":"' not in streamed.text
    assert (whole.status_code, whole.json()["error"]["code"]) == (502, "provider_cut")


async def test_an_answer_that_somebody_else_stops_is_an_error_too() -> None:
    """With its own code, and in both forms."""
    async with headwater(Scripted([TextDelta("Hel"), SILENCE])) as server:
        streamed = asyncio.create_task(post(server))
        whole = asyncio.create_task(post(server, stream=False))
        async with server.client.stream("POST", CHAT, json={**chat(), "stream": True}) as joined:
            location = joined.headers["location"]
        await until(lambda: server.answers.running == 1, "one answer runs")
        await server.client.post(f"{location}/stop")
        part, refused = await streamed, await whole

    assert chunks(part.text)[-1]["error"]["code"] == "stopped"
    assert "[DONE]" not in part.text
    assert (refused.status_code, refused.json()["error"]["code"]) == (499, "stopped")
    assert refused.headers["x-should-retry"] == "false"


async def test_a_broken_stream_is_read_on_natively_and_by_a_repeated_post() -> None:
    """The offset is in every frame, though OpenAI's protocol has none."""
    async with headwater(Scripted(HELLO)) as server:
        first = await post(server)
        id = first.text.split("id: ")[2].split("\n")[0]
        rest = await server.client.get(first.headers["location"], headers={"last-event-id": id})
        again = await server.client.post(CHAT, json={**chat(), "stream": True}, headers={"last-event-id": id})

    assert '"text":"lo"' in rest.text
    assert '"text":"Hel"' not in rest.text
    assert first.text.endswith(again.text)
    assert [chunk["choices"][0]["delta"] for chunk in chunks(again.text)[:-1]] == [{"content": "lo"}, {}]


async def test_what_the_provider_is_to_keep_is_always_a_new_answer() -> None:
    """`store: true` means this very completion."""
    model = Scripted(HELLO)
    async with headwater(model) as server:
        for _ in range(2):
            await post(server, store=True)

    assert len(model.prompts) == 2


NO_CACHE = Caching(ttl=0, secret=b"secret")


async def test_a_retry_joins_the_run_of_the_first_attempt_without_the_cache() -> None:
    """Running or ended; two requests that are both a first attempt are two, however equal."""
    gate = asyncio.Event()
    model = Scripted([TextDelta("Hel"), gate, TextDelta("lo"), Finish("stop")])
    async with headwater(model, caching=NO_CACHE) as server:
        first = asyncio.create_task(post(server, attempt=0))
        await until(lambda: model.running == 1, "the first attempt runs")
        retry = asyncio.create_task(post(server, attempt=1))
        equal = asyncio.create_task(post(server, attempt=0))
        await until(lambda: model.running == 2, "the equal request runs")
        gate.set()
        answers = [await each for each in (first, retry, equal)]
        late = await post(server, attempt=2)
        new = await post(server, attempt=0)
        newest = await post(server, attempt=1)

    logs = [each.headers["x-request-id"].partition("~")[0] for each in (*answers, late, new, newest)]
    assert logs[0] == logs[1] == logs[3]
    assert logs[4] == logs[5]
    assert len({*logs}) == len(model.prompts) == 3


async def test_a_retry_of_an_attempt_that_failed_asks_anew() -> None:
    """With the cache and without it."""
    for caching in (NO_CACHE, None):
        model = Scripted([ModelError("busy", status=503, retryable=True)])
        async with headwater(model, caching=caching) as server:
            statuses = [(await post(server, attempt=attempt)).status_code for attempt in (0, 1)]
        assert (statuses, len(model.prompts)) == ([503, 503], 2)


async def test_the_models_are_listed_for_both_kinds_of_clients() -> None:
    """OpenAI's clients and Anthropic's find their own fields in one object."""
    async with headwater(Scripted(HELLO)) as server:
        listed = (await server.client.get("/v1/models", headers={"anthropic-version": "2023-06-01"})).json()
        one = await server.client.get("/v1/models/scripted")
        none = await server.client.get("/v1/models/some/other:one")

    assert (listed["object"], listed["has_more"], listed["first_id"]) == ("list", False, "scripted")
    assert listed["data"] == [one.json()]
    assert one.json().keys() == {"id", "object", "created", "owned_by", "type", "display_name", "created_at"}
    assert (none.status_code, none.json()["error"]["code"], none.json()["error"]["param"]) == (
        404,
        "model_not_found",
        "model",
    )
