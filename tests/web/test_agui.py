"""AG-UI's routes: requests as prompts, runs and threads that are found again, and failures in its form."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from corpus import MESSAGE_ID
from serving import Frame, chat, frames, headwater, parse, until
from starlette.requests import Request

from headwater.dialects.agui.page import shown
from headwater.dialects.agui.request import run
from headwater.dialects.native import request as native
from headwater.dialects.openai.request import read as read_openai
from headwater.errors import ModelError
from headwater.events import Finish, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart, ToolResult
from headwater.log.memory import MemoryStore
from headwater.log.sqlite.store import SqliteStore
from headwater.models.scripted import Scripted
from headwater.principal import Principal

ANSWER = [TextDelta("Hel"), TextDelta("lo"), Finish("stop")]
PIXEL = "iVBORw0KGgo="


def body(question: str = "Hi", thread: str = "t1", run: str = "r1", **fields: Any) -> dict[str, Any]:
    """A `RunAgentInput` of one question, as a client sends it."""
    messages = [{"id": "m1", "role": "user", "content": question}]
    empty: dict[str, Any] = {"state": {}, "tools": [], "context": [], "forwardedProps": {}}
    return {"threadId": thread, "runId": run, "messages": messages, **empty, **fields}


async def post(client: httpx.AsyncClient, headers: dict[str, str] | None = None, **asked: Any) -> httpx.Response:
    """Run a thread, and read its events to the end."""
    return await client.post("/agui", json=body(**asked), headers=headers)


def named(run: str = "r1", **headers: str) -> dict[str, str]:
    """The headers of a client that means to join its run."""
    return {"X-Run-Id": run, **headers}


def text(events: list[Frame]) -> str:
    return "".join(event["delta"] for event in events if event["type"] == "TEXT_MESSAGE_CONTENT")


HISTORY: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"role": "user", "content": "Hi"}, {"role": "user", "content": "Hi"}),
    ({"role": "developer", "content": "Be brief."}, {"role": "developer", "content": "Be brief."}),
    (
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image", "source": {"type": "data", "value": PIXEL, "mimeType": "image/png"}},
                {"type": "image", "source": {"type": "url", "value": "https://a.example/b.png"}},
                {"type": "binary", "mimeType": "image/png", "data": PIXEL},
                {"type": "binary", "mimeType": "application/pdf", "data": PIXEL, "filename": "a.pdf"},
                {"type": "audio", "source": {"type": "data", "value": PIXEL, "mimeType": "audio/wav"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
                {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
                {
                    "type": "file",
                    "file": {"file_data": f"data:application/pdf;base64,{PIXEL}", "filename": "a.pdf"},
                },
                {"type": "input_audio", "input_audio": {"data": PIXEL, "format": "wav"}},
            ],
        },
    ),
    (
        {
            "role": "assistant",
            "toolCalls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
        },
    ),
    (
        {"role": "tool", "toolCallId": "c1", "content": "4 °C"},
        {"role": "tool", "tool_call_id": "c1", "content": "4 °C"},
    ),
]
"""Messages in AG-UI's shape, and the same in OpenAI's."""


def test_the_same_question_is_the_same_prompt_as_in_openais_shape() -> None:
    """So the two share an answer; what only the page knows of is left out."""
    tool = {"name": "look", "description": "Look", "parameters": {"type": "object"}}
    theirs = [{"id": f"m{number}", **message} for number, (message, _) in enumerate(HISTORY)]
    page: list[dict[str, Any]] = [
        {"id": "x", "role": "activity", "content": {}},
        {"id": "y", "role": "reasoning", "content": "Hm"},
    ]
    props = {"model": "gpt-4o", "temperature": 0.5, "user": "ann", "theme": "dark"}
    sent = body(
        messages=[*theirs, *page],
        tools=[{**tool, "metadata": {"shown": True}}],
        context=[{"description": "The page", "value": "Oslo"}],
        forwardedProps=props,
    )
    openai = json.dumps(
        {
            "model": "gpt-4o",
            "messages": [{"role": "system", "content": "The page: Oslo"}, *(message for _, message in HISTORY)],
            "tools": [{"type": "function", "function": tool}],
            "temperature": 0.5,
            "user": "ann",
        }
    )

    prompt = run(json.dumps(sent).encode()).ask.prompt
    assert prompt == native.chat(openai.encode()).prompt
    assert prompt == read_openai(openai.encode(), "chat").ask.prompt


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": [{"type": ["text"]}]}]}, "messages[0].content[0]"),
        ({"tools": {}}, "tools"),
        ({"tools": ["look"]}, "tools[0]"),
        ({"forwardedProps": []}, "forwardedProps"),
        ({"forwardedProps": {"temperature": 9}}, "temperature"),
        ({"forwardedProps": {"temperature": "warm"}}, "temperature"),
    ],
)
async def test_a_mistake_in_the_request_is_named(fields: dict[str, Any], told: str) -> None:
    """As JSON, under a media type that the client parses."""
    model = Scripted(ANSWER)
    async with headwater(model) as server:
        refused = await post(server.client, **fields)

    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/json"
    assert told in refused.json()["detail"]
    assert model.prompts == []


async def test_a_failure_before_the_first_token_is_a_status_and_later_ones_are_events() -> None:
    """The client's error has the status and the payload; a part is followed by the reason why it is one."""
    for steps, status in (([ModelError("no luck")], 502), ([TextDelta("Hel"), ModelError("no luck")], 200)):
        async with headwater(Scripted(steps)) as server:
            answer = await post(server.client)
        assert answer.status_code == status
        told = answer.json() if status != 200 else parse(answer.content)[-1]
        assert told["code"] == "model"


async def test_other_paths_and_methods_are_refused_in_the_same_form() -> None:
    """HEAD starts nothing and reads nothing."""
    model = Scripted(ANSWER)
    async with headwater(model) as server:
        refused = {
            404: [await server.client.get("/agui/x"), await server.client.get("/agui?runId=nobody")],
            405: [await server.client.put("/agui"), await server.client.delete("/agui")],
            400: [await server.client.get("/agui"), await server.client.post("/agui", content=b"{")],
        }
        await post(server.client, named())
        head = await server.client.head("/agui?runId=r1")

    for status, answers in refused.items():
        for answer in answers:
            assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
            assert answer.json()["status"] == status
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")
    assert len(model.prompts) == 1


async def test_a_question_in_four_dialects_at_once_is_one_call_of_the_model() -> None:
    """And a hit afterwards; each answer has a message id of its own."""
    gate = asyncio.Event()
    model = Scripted([TextDelta("Hel"), gate, TextDelta("lo"), Finish("stop")])
    openai = {"model": "scripted", "stream": True}
    async with headwater(model) as server:
        others = {
            "/api/stream/completion/chat": chat(),
            "/v1/chat/completions": {**openai, **chat()},
            "/v1/responses": {**openai, "input": "Hi"},
        }
        asking = [server.client.post(path, json=fields) for path, fields in others.items()]
        all = asyncio.gather(post(server.client), *asking)
        await until(lambda: model.running, "the model is asked")
        gate.set()
        live, *rest = await all
        hit = await post(server.client)

    assert [answer.status_code for answer in rest] == [200] * 3
    first, second = parse(live.content), parse(hit.content)
    assert len(model.prompts) == 1
    assert text(first) == text(second) == "Hello"
    assert first[1]["messageId"] != second[1]["messageId"]
    assert hit.headers["cache-status"].startswith("headwater; hit")
    assert (first[0]["threadId"], first[-1]["runId"]) == ("t1", "r1")
    assert live.headers["x-request-id"] == live.headers["location"].rpartition("/")[2]


async def test_a_repeated_request_goes_on_after_the_last_event_that_came() -> None:
    """Also in a replay, under the message id of that replay, and without the model."""
    model = Scripted(ANSWER)
    async with headwater(model) as server:
        await post(server.client)
        whole = parse((await post(server.client, named())).content)
        for number, event in enumerate(whole[:-1]):
            if event.id:
                rest = await post(server.client, named(**{"Last-Event-ID": event.id}))
                assert parse(rest.content) == whole[number + 1 :]
        unnamed = await post(server.client, {"Last-Event-ID": whole[0].id or ""})

    assert text(parse(unnamed.content)) == "Hello"
    assert len(model.prompts) == 1


async def test_an_answer_that_the_provider_is_to_keep_is_always_a_new_one() -> None:
    """As with OpenAI's own request."""
    model = Scripted(ANSWER)
    async with headwater(model) as server:
        for _ in range(2):
            await post(server.client, forwardedProps={"store": True})

    assert len(model.prompts) == 2


async def test_a_page_that_is_opened_again_joins_the_run_and_finds_the_thread(tmp_path: Path) -> None:
    """Through another server on the same file, which has neither begun the run nor seen the thread."""
    gate = asyncio.Event()
    model = Scripted([ReasoningDelta("Hm"), TextDelta("Hel"), gate, TextDelta("lo"), Finish("stop")])
    file = tmp_path / "logs.sqlite"
    async with headwater(model, SqliteStore(file)) as one, headwater(Scripted([]), SqliteStore(file)) as other:
        async with one.client.stream("POST", "/agui", json=body(), headers=named()) as begun:
            async for event in frames(begun):
                if event["type"] == "TEXT_MESSAGE_CONTENT":
                    break
        thread = (await other.client.get("/agui?threadId=t1")).json()
        joining = asyncio.create_task(other.client.get("/agui?runId=r1&offset=-1"))
        gate.set()
        joined = parse((await joining).content)
        after = (await other.client.get("/agui?threadId=t1")).json()

    user = {"id": "m1", "role": "user", "parts": [{"type": "text", "content": "Hi"}]}
    assert thread == {"messages": [user], "activeRun": {"runId": "r1"}}
    assert text(joined) == "Hello"
    said = [{"type": "thinking", "content": "Hm"}, {"type": "text", "content": "Hello"}]
    told = next(event["messageId"] for event in joined if event["type"] == "TEXT_MESSAGE_START")
    assert after == {"messages": [user, {"id": told, "role": "assistant", "parts": said}], "activeRun": None}


async def test_runs_and_threads_of_somebody_else_are_not_found() -> None:
    """Clients choose these ids, so others may guess them. No two owners and ids share a document, however named."""

    def who(request: Request) -> Principal:
        return Principal(*request.headers["x-who"].split("/"))

    async with headwater(Scripted(ANSWER), who=who) as server:
        await post(server.client, named("b:r1", **{"x-who": "a/ann"}), run="b:r1")
        for owner, run, status in (
            *(("a/ann", "b:r1", 200), ("b/ann", "b:r1", 404), ("a/bob", "b:r1", 404)),
            *(("a:b/ann", "r1", 404), ("a/ann:b", "r1", 404)),
        ):
            joined = await server.client.get(f"/agui?runId={run}", headers={"x-who": owner})
            assert joined.status_code == status
        thread = await server.client.get("/agui?threadId=t1", headers={"x-who": "a/bob"})

    assert thread.json() == {"messages": [], "activeRun": None}


class Counted(MemoryStore):
    """Counts the documents that are put."""

    puts = 0

    async def put(self, name: str, value: bytes, *, ttl: float, **more: Any) -> Any:
        self.puts += 1
        assert len(name) < 100
        return await super().put(name, value, ttl=ttl, **more)


async def test_only_a_client_that_names_its_run_costs_documents() -> None:
    """Ids of any length make short names; an id that is missing makes none."""
    store = Counted()
    async with headwater(Scripted(ANSWER), store) as server:
        await post(server.client)
        assert store.puts == 0
        await post(server.client, named(), thread="t" * 10_000)
        assert store.puts == 2
        await post(server.client, named(), thread="", run="")
        assert store.puts == 2


async def test_a_thread_whose_history_is_too_large_begins_with_the_answer() -> None:
    """The run itself is joined as ever."""
    async with headwater(Scripted(ANSWER)) as server:
        await post(server.client, named(), question="long " * 200_000)
        thread = (await server.client.get("/agui?threadId=t1")).json()

    assert [message["role"] for message in thread["messages"]] == ["assistant"]


CALL = [ToolCallStart("c1", "look"), ToolCallDelta("c1", '{"at":'), ToolCallDelta("c1", ' "sea"}'), ToolCallEnd("c1")]
BAD = [ToolCallStart("c2", "look"), ToolCallDelta("c2", "{")]


async def test_a_call_that_nothing_has_answered_is_the_pages_own() -> None:
    """TanStack AI runs the tool on this event; a call with a result, or without JSON, is none to run."""
    for steps, own in (
        ([*CALL, *BAD, Finish("tool_calls")], [{"toolCallId": "c1", "toolName": "look", "input": {"at": "sea"}}]),
        ([*CALL, ToolResult("c1", "blue"), Finish("tool_calls")], []),
        ([*CALL, Finish("length")], []),
    ):
        async with headwater(Scripted(steps)) as server:
            events = parse((await post(server.client)).content)
        assert [event["value"] for event in events if event.get("name") == "tool-input-available"] == own


async def test_text_beside_a_result_keeps_its_place() -> None:
    """A result closes the text before it; the text after it is a message of its own."""
    steps = [TextDelta("Let me look."), *CALL, ToolResult("c1", "bl"), ToolResult("c1", "ue"), TextDelta("Blue.")]
    async with headwater(Scripted([*steps, Finish("stop")])) as server:
        events = parse((await post(server.client, named())).content)
        thread = (await server.client.get("/agui?threadId=t1")).json()

    shape = [event["type"] for event in events if event["type"] not in ("TOOL_CALL_ARGS", "TEXT_MESSAGE_START")]
    assert shape == [
        *("RUN_STARTED", "TEXT_MESSAGE_CONTENT", "TOOL_CALL_START", "TOOL_CALL_END", "TEXT_MESSAGE_END"),
        *("TOOL_CALL_RESULT", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "RUN_FINISHED"),
    ]
    assert next(event["content"] for event in events if event["type"] == "TOOL_CALL_RESULT") == "blue"
    parts = thread["messages"][-1]["parts"]
    assert [part["type"] for part in parts] == ["text", "tool-call", "tool-result"]
    assert (parts[1]["state"], parts[1]["output"], parts[2]["content"]) == ("complete", "blue", "blue")


def test_a_page_gets_the_images_and_calls_of_its_history() -> None:
    """A message of a role that pages do not have, or a result without a call, is left out."""
    image: dict[str, Any] = {"type": "image", "source": {"type": "url", "value": "https://a.example/b.png"}}
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages: list[dict[str, Any]] = [
        {"id": "r0", "role": "tool", "toolCallId": "c0", "content": "lost"},
        {"id": MESSAGE_ID, "role": "user", "content": [{"type": "text", "text": "What is it?"}, image]},
        {"id": "a1", "role": "assistant", "toolCalls": [call], "metadata": {"tanstack": {}}},
        {"id": "x1", "role": "activity", "content": {}},
    ]

    assert shown(messages) == [
        {"id": MESSAGE_ID, "role": "user", "parts": [{"type": "text", "content": "What is it?"}, image]},
        {
            "id": "a1",
            "role": "assistant",
            "metadata": {"tanstack": {}},
            "parts": [{"type": "tool-call", "id": "c1", "name": "look", "arguments": "{}", "state": "input-complete"}],
        },
    ]
