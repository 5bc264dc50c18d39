"""The routes of Anthropic's API: its forms of answers and failures, over the same logs as every other route."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from serving import Headwater, chat, headwater, post_chat, until
from test_keys import ANN, bearer, keys, locked

from headwater.dialects.anthropic.request import read
from headwater.dialects.native import request as native
from headwater.dialects.openai.request import read as read_openai
from headwater.errors import InvalidPrompt, ModelError
from headwater.events import (
    Event,
    Finish,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from headwater.models.scripted import SILENCE, Scripted
from headwater.prompt import Prompt

MESSAGES, COUNT, LIMIT = "/v1/messages", "/v1/messages/count_tokens", {"max_tokens": 99}
HELLO: list[Event] = [TextDelta("Hel"), TextDelta("lo"), Finish("stop", Usage(3, 2))]
CALL: list[Event] = [
    ReasoningDelta("Hm"),
    ToolCallStart("c.1", "weather"),
    ToolCallDelta("c.1", '{"city":'),
    ToolCallDelta("c.1", '"Oslo"}'),
    ToolCallEnd("c.1"),
    Finish(
        "tool_calls",
        Usage(
            9,
            4,
            {"input_token_details": {"cache_read": 6, "cache_creation": 2}, "output_token_details": {"reasoning": 1}},
        ),
    ),
]


def told(body: str) -> list[Any]:
    """The JSON of each frame, whose `event:` line must say the same type."""
    found: list[Any] = []
    for block in body.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        found.append(json.loads(lines["data"]))
        assert lines["event"] == found[-1]["type"]
    return found


async def post(server: Headwater, **fields: Any) -> httpx.Response:
    """Ask in Anthropic's form, streamed unless the fields say otherwise."""
    return await server.client.post(MESSAGES, json={**chat(), **LIMIT, "stream": True, **fields})


async def test_a_stream_and_an_object_come_from_one_log_with_the_other_dialects() -> None:
    """Four clients, one call of the model; each under ids of its own."""
    model = Scripted(HELLO)
    async with headwater(model) as server:
        streamed, whole = await post(server), await post(server, stream=False)
        own = await server.client.post("/api/stream/completion/chat", json={**chat(), **LIMIT})
        openai = await server.client.post("/v1/chat/completions", json={**chat(), **LIMIT})

    start, ping, *blocks, last, stop = told(streamed.text)
    assert (start["message"]["content"], ping["type"], stop["type"]) == ([], "ping", "message_stop")
    assert [block["type"].removeprefix("content_block_") for block in blocks] == ["start", "delta", "delta", "stop"]
    assert last["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    message = whole.json()
    assert message["content"] == [{"type": "text", "text": "Hello"}]
    assert (message["type"], message["role"], message["stop_reason"]) == ("message", "assistant", "end_turn")
    assert message["usage"] == last["usage"]
    assert (last["usage"]["input_tokens"], last["usage"]["output_tokens"]) == (3, 2)
    for response, id in ((streamed, start["message"]["id"]), (whole, message["id"])):
        assert response.headers["request-id"] == id
        assert response.headers["location"] == f"/api/streams/{id}"
    for other in (whole, own, openai):
        assert other.headers["cache-status"].startswith("headwater; hit")
    assert len(model.prompts) == 1


async def test_thinking_and_a_tool_call_are_blocks_under_ids_that_anthropic_allows() -> None:
    """Fresh in a replay, since no two messages of a chat may share one; the counts leave out what a cache had."""
    async with headwater(Scripted(CALL)) as server:
        streamed, whole = await post(server), await post(server, stream=False)

    starts = [frame["content_block"] for frame in told(streamed.text) if frame["type"] == "content_block_start"]
    deltas = [frame["delta"] for frame in told(streamed.text) if frame["type"] == "content_block_delta"]
    assert starts[1] == {"type": "tool_use", "id": "c_2e1", "name": "weather", "input": {}}
    assert [next(reversed(delta.values())) for delta in deltas] == ["Hm", "headwater", '{"city":', '"Oslo"}']
    thinking, call = whole.json()["content"]
    assert thinking == {"type": "thinking", "thinking": "Hm", "signature": "headwater"}
    assert (call["name"], call["input"], whole.json()["stop_reason"]) == ("weather", {"city": "Oslo"}, "tool_use")
    assert call["id"] == f"c_2e1_{whole.json()['id'].partition('~')[2]}" != "c_2e1_"
    assert whole.json()["usage"] == {
        "input_tokens": 1,
        "cache_creation_input_tokens": 2,
        "cache_read_input_tokens": 6,
        "output_tokens": 4,
        "output_tokens_details": {"thinking_tokens": 1},
    }


@pytest.mark.parametrize(("reason", "status"), [("length", 200), ("tool_calls", 502)])
async def test_arguments_that_are_no_json_are_an_object_only_where_they_are_truncated(reason: str, status: int) -> None:
    """The form has no place for a part of them, and `{}` beside `tool_use` would be run."""
    async with headwater(Scripted([ToolCallStart("c1", "look"), ToolCallDelta("c1", '{"a'), Finish(reason)])) as server:
        whole = await post(server, stream=False)

    assert whole.status_code == status
    if status == 200:
        assert (whole.json()["content"][0]["input"], whole.json()["stop_reason"]) == ({}, "max_tokens")
    else:
        assert (whole.json()["error"]["type"], whole.headers["x-should-retry"]) == ("api_error", "true")


PIXEL = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
ASKED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {}}]}]}, {}),
    (
        {"system": [{"type": "text", "text": "Be brief.", "cache_control": {}}, {"type": "text", "text": "Be kind."}]},
        {"messages": [{"role": "system", "content": "Be brief.\n\nBe kind."}, *chat()["messages"]]},
    ),
    (
        {
            "temperature": 0.5,
            "stop_sequences": ["END"],
            "metadata": {"user_id": "ann"},
            "top_k": 3,
            "service_tier": "auto",
        },
        {"temperature": 0.5, "stop": ["END"], "user": "ann", "top_k": 3},
    ),
    (
        {
            "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}, "cache_control": {}}],
            "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        },
        {
            "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "parallel_tool_calls": False,
        },
    ),
    ({"tool_choice": {"type": "any"}}, {"tool_choice": "required"}),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"reasoning_effort": "low"}),
    ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, {"reasoning_effort": "max"}),
    (
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
            }
        },
    ),
    (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is this?"},
                        {"type": "image", "source": PIXEL},
                        {"type": "image", "source": {"type": "url", "url": "https://e.org/i.png"}},
                        {"type": "document", "source": {**PIXEL, "media_type": "application/pdf"}, "title": "a"},
                        {"type": "document", "source": {"type": "text", "data": "Once"}, "title": "Tale"},
                        {"type": "document", "source": {"type": "file", "file_id": "file-1"}},
                    ],
                }
            ]
        },
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is this?"},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                        {"type": "image_url", "image_url": {"url": "https://e.org/i.png"}},
                        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a"}},
                        {"type": "text", "text": "Tale"},
                        {"type": "text", "text": "Once"},
                        {"type": "file", "file": {"file_id": "file-1"}},
                    ],
                }
            ]
        },
    ),
    (
        {
            "messages": [
                *chat()["messages"],
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "Hm", "signature": "headwater"},
                        {"type": "text", "text": "Let me "},
                        {"type": "text", "text": "look."},
                        {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Oslo"}},
                        {"type": "tool_use", "id": "c2", "name": "weather", "input": {}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "4 °C"}]},
                        {"type": "tool_result", "tool_use_id": "c2", "content": "no city", "is_error": True},
                        {"type": "text", "text": "And now?"},
                    ],
                },
            ]
        },
        {
            "messages": [
                *chat()["messages"],
                {
                    "role": "assistant",
                    "content": "Let me look.",
                    "tool_calls": [
                        {"id": "c1", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}},
                        {"id": "c2", "function": {"name": "weather", "arguments": "{}"}},
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "4 °C"},
                {"role": "tool", "tool_call_id": "c2", "content": "Error:\nno city"},
                {"role": "user", "content": "And now?"},
            ]
        },
    ),
]


@pytest.mark.parametrize(("fields", "theirs"), ASKED, ids=lambda fields: next(iter(fields), "plain"))
def test_the_same_question_is_the_same_prompt_in_three_dialects(fields: dict[str, Any], theirs: dict[str, Any]) -> None:
    """So they share the answer; `max_tokens` must be set in all of them, since Anthropic's clients must set it."""
    prompt = read(json.dumps({**chat(), **LIMIT, **fields}).encode()).prompt
    other = json.dumps({**chat(), **LIMIT, **theirs}).encode()

    assert prompt == native.chat(other).prompt == read_openai(other, "chat").ask.prompt


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": None}, "max_tokens"),
    ({"messages": None}, "messages"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0]"),
    ({"messages": [{"role": "user", "content": [{"type": "server_tool_use"}]}]}, "server_tool_use"),
    ({"messages": [{"role": "user", "content": [{"type": "tool_use"}]}]}, "messages[0].content[0]"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
        "messages[0].content[0].source",
    ),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "web_search_20250305"),
    ({"tool_choice": {"type": "some"}}, "tool_choice"),
    ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
    ({"output_config": {"format": {"type": "xml"}}}, "output_config.format"),
]


@pytest.mark.parametrize(("fields", "named"), REFUSED)
def test_what_cannot_be_asked_here_is_refused_by_name(fields: dict[str, Any], named: str) -> None:
    """Rather than answered as if it had not been asked."""
    with pytest.raises(InvalidPrompt, match=named.replace("[", r"\[")):
        read(json.dumps({**chat(), **LIMIT, **fields}).encode())


async def test_failures_have_anthropics_form_at_every_path() -> None:
    """Of the types that its documentation lists, and without a retry where that helps nothing."""
    async with locked(valid=keys()) as server:
        nobody = await post(server)
        mistyped = await server.client.post(MESSAGES, json={**chat(), **LIMIT}, headers={"x-api-key": "wrong"})
        unknown = await server.client.post(MESSAGES, json={**chat(model="claude-9"), **LIMIT}, headers=bearer(ANN))
        unlimited = await server.client.post(MESSAGES, json=chat(), headers={"x-api-key": ANN})
        nowhere = await server.client.post(f"{MESSAGES}/batches", json={}, headers=bearer(ANN))
        method = await server.client.get(MESSAGES, headers=bearer(ANN))

    answers = (nobody, mistyped, unknown, unlimited, nowhere, method)
    assert {each.json()["type"] for each in answers} == {"error"}
    assert [(each.status_code, each.json()["error"]["type"]) for each in answers] == [
        (401, "authentication_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (400, "invalid_request_error"),
        (404, "not_found_error"),
        (405, "invalid_request_error"),
    ]
    assert "max_tokens" in unlimited.json()["error"]["message"]
    assert {each.headers["x-should-retry"] for each in answers} == {"false"}
    assert (nobody.headers["www-authenticate"], method.headers["allow"]) == ("Bearer", "POST")


@pytest.mark.parametrize(("status", "sent", "kind"), [(429, 429, "rate_limit_error"), (503, 529, "overloaded_error")])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_before_the_first_token_says_whether_to_retry(
    stream: bool, status: int, sent: int, kind: str
) -> None:
    """And when; a server that has too much to do has a status of its own in Anthropic's API."""
    busy = ModelError("too many", code="rate_limited", status=status, retryable=True, retry_after=1.5)
    async with headwater(Scripted([busy])) as server:
        response = await post(server, stream=stream)

    assert (response.status_code, response.json()["error"]["type"]) == (sent, kind)
    assert (response.headers["x-should-retry"], response.headers["retry-after"]) == ("true", "2")
    assert response.headers["request-id"] in response.headers["location"]


async def test_a_failure_in_mid_stream_is_an_error_event_and_no_stop() -> None:
    """A part never looks whole: neither streamed nor as an object."""
    broken = Scripted([TextDelta("Hel"), ModelError("gone", code="provider_cut", status=502)])
    async with headwater(broken) as server:
        streamed, whole = await post(server), await post(server, stream=False)

    assert told(streamed.text)[-1]["error"] == {"type": "api_error", "message": "Gone."}
    assert "message_stop" not in streamed.text
    assert (whole.status_code, whole.json()["error"]["type"]) == (502, "api_error")


async def test_an_answer_that_somebody_else_stops_is_an_error_too() -> None:
    """In both forms."""
    async with headwater(Scripted([TextDelta("Hel"), SILENCE])) as server:
        streamed = asyncio.create_task(post(server))
        whole = asyncio.create_task(post(server, stream=False))
        body = {**chat(), **LIMIT, "stream": True}
        async with server.client.stream("POST", MESSAGES, json=body) as joined:
            location = joined.headers["location"]
        await until(lambda: server.answers.running == 1, "one answer runs")
        await server.client.post(f"{location}/stop")
        part, refused = await streamed, await whole

    assert "stopped" in told(part.text)[-1]["error"]["message"]
    assert "message_stop" not in part.text
    assert (refused.status_code, refused.json()["error"]["type"]) == (499, "api_error")
    assert refused.headers["x-should-retry"] == "false"


async def test_a_broken_stream_is_read_on_natively_and_by_a_repeated_post() -> None:
    """The offset is in every frame, though Anthropic's protocol has none; its beta parameters are ignored."""
    async with headwater(Scripted(HELLO)) as server:
        first = await post(server)
        id = first.text.split("id: ")[2].split("\n")[0]
        rest = await server.client.get(first.headers["location"], headers={"last-event-id": id})
        again = await server.client.post(
            f"{MESSAGES}?beta=true",
            json={**chat(), **LIMIT, "stream": True, "betas": ["x"]},
            headers={"last-event-id": id, "anthropic-beta": "x", "anthropic-version": "1"},
        )
        whole = await post_chat(server.client)

    assert '"text":"lo"' in rest.text
    assert '"text":"Hel"' not in rest.text
    assert first.text.endswith(again.text)
    assert told(again.text)[0]["delta"]["text"] == "lo"
    assert whole.headers["cache-status"] == "headwater; fwd=miss"


class Counting(Scripted):
    """A model that knows how many tokens a prompt has."""

    async def count_tokens(self, prompt: Prompt) -> int | None:
        return len(prompt.messages) * 100 + len(prompt.tools)


async def test_tokens_are_counted_by_the_model_or_estimated_and_the_header_says_which() -> None:
    """An estimate grows with what is sent; a limit of the answer is not needed."""
    tool = {"name": "f", "description": "What it does. " * 40, "input_schema": {"type": "object"}}
    async with headwater(Counting(HELLO)) as server:
        exact = await server.client.post(COUNT, json=chat(system="Be brief.", tools=[tool]))
    async with headwater(Scripted(HELLO)) as server:
        sizes = [await server.client.post(COUNT, json=body) for body in (chat(), chat("Hi" * 200), chat(tools=[tool]))]
        wrong = await server.client.post(COUNT, json={})

    assert (exact.json(), exact.headers["headwater-counted-by"]) == ({"input_tokens": 201}, "model")
    assert {each.headers["headwater-counted-by"] for each in sizes} == {"estimate"}
    short, long, able = [each.json()["input_tokens"] for each in sizes]
    assert 0 < short < 10
    assert long == short - 1 + 100
    assert 100 < able - short < 200
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_follow_ups_to_an_answer_and_to_its_replay_are_one_question() -> None:
    """Though the replay's call has an id of its own, and one client sends the reasoning back and the other does not."""
    model = Scripted(CALL)
    async with headwater(model) as server:
        answers = [(await post(server, stream=False)).json()["content"] for _ in range(2)]
        for content in (answers[0], answers[1][1:]):
            result = {"type": "tool_result", "tool_use_id": content[-1]["id"], "content": "Sunny"}
            turns = [{"role": "assistant", "content": content}, {"role": "user", "content": [result]}]
            last = await post(server, messages=[*chat()["messages"], *turns])

    assert answers[0][1]["id"] != answers[1][1]["id"]
    assert last.headers["cache-status"].startswith("headwater; hit")
    assert len(model.prompts) == 2
