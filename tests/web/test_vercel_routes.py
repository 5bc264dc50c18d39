"""The routes of the AI SDK over HTTP: what its clients send, and what they are told."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from serving import Headwater, headwater, parse, post_chat, until

from headwater.errors import ModelError
from headwater.events import Finish, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart
from headwater.models.scripted import SILENCE, Scripted
from headwater.principal import Principal
from headwater.prompt import Tool

SSE = "text/event-stream; charset=utf-8"
PLAIN = "text/plain; charset=utf-8"
RUN = "x-workflow-run-id"
HELLO = (TextDelta("Hel"), TextDelta("lo"), Finish("stop"))


def asked(question: str = "Hi", *, id: str = "chat-1", **fields: Any) -> dict[str, Any]:
    message = {"id": "u1", "role": "user", "parts": [{"type": "text", "text": question}]}
    return {"id": id, "trigger": "submit-message", "messages": [message], **fields}


def told(body: bytes) -> list[dict[str, Any]]:
    """The parts of a stream; it must end with `[DONE]`."""
    *_, last = body.removesuffix(b"\n\n").split(b"\n\n")
    assert last.startswith(b"data: [DONE]\nid: ")
    return [*parse(body.removesuffix(last + b"\n\n"))]


def said(body: bytes) -> str:
    return "".join(part["delta"] for part in told(body) if part["type"] == "text-delta")


async def post(server: Headwater, question: str = "Hi", *, id: str = "chat-1", **fields: Any) -> httpx.Response:
    return await server.client.post("/api/chat", json=asked(question, id=id, **fields))


class Reading:
    """A reader that has got the first piece of text, and goes on when told."""

    def __init__(self, server: Headwater, resumed: str = "", **body: Any) -> None:
        post, get = ("POST", "/api/chat", asked(**body)), ("GET", resumed, None)
        method, path, sent = get if resumed else post
        self._request = server.client.stream(method, path, json=sent)

    async def __aenter__(self) -> "Reading":
        self.response = await self._request.__aenter__()
        self._raw: AsyncIterator[bytes] = self.response.aiter_raw()
        self.body = b""
        while b"text-delta" not in self.body:
            self.body += await anext(self._raw)
        return self

    async def rest(self) -> bytes:
        async for piece in self._raw:
            self.body += piece
        return self.body

    async def __aexit__(self, *error: object) -> None:
        await self._request.__aexit__(None, None, None)


async def test_an_answer_a_hit_and_the_native_form_are_one_call() -> None:
    """The hit has a message id of its own, and what an answer is known by in every dialect."""
    model = Scripted([*HELLO])
    async with headwater(model) as server:
        first, hit, native = await post(server), await post(server, id="chat-2"), await post_chat(server.client)

    assert [first.headers["content-type"], first.headers["x-vercel-ai-ui-message-stream"]] == [SSE, "v1"]
    assert said(first.content) == said(hit.content) == "Hello"
    assert "hit" in hit.headers["cache-status"]
    assert "hit" in native.headers["cache-status"]
    assert hit.headers[RUN] == hit.headers["location"].rpartition("/")[2] == told(hit.content)[0]["messageId"]
    assert told(first.content)[0]["messageId"] != told(hit.content)[0]["messageId"]
    assert len(model.prompts) == 1


async def test_a_page_that_reloads_in_mid_answer_gets_all_of_it_under_the_same_message_id() -> None:
    """`useChat` rebuilds its message from the first part; after the end there is nothing to resume."""
    gate = asyncio.Event()
    async with headwater(Scripted([HELLO[0], gate, *HELLO[1:]])) as server, Reading(server) as page:
        async with Reading(server, "/api/chat/chat-1/stream") as resumed:
            gate.set()
            assert await resumed.rest() == await page.rest()
        after = await server.client.get("/api/chat/chat-1/stream")

    assert after.status_code == 204
    assert not after.content


@pytest.mark.parametrize("id", ["never-asked", "0123456789ab-00", "a.b", "%00"])
async def test_a_chat_that_has_no_run_has_nothing_to_resume_and_nothing_to_stop(id: str) -> None:
    """204, as `useChat` expects of every page that opens; a count of parts must have a log."""
    async with headwater(Scripted([*HELLO])) as server:
        resumed = await server.client.get(f"/api/chat/{id}/stream")
        counted = await server.client.get(f"/api/chat/{id}/stream?startIndex=2")
        stopped = await server.client.post(f"/api/chat/{id}/stop")

    assert [resumed.status_code, counted.status_code, stopped.status_code] == [204, 404, 404]
    assert stopped.headers["content-type"] == counted.headers["content-type"] == PLAIN
    assert stopped.text.startswith("There is no chat")


async def test_a_stop_ends_the_run_for_every_reader() -> None:
    """The part stays, and the stream says that it was stopped; it never says `finish`."""
    model = Scripted([HELLO[0], SILENCE])
    async with headwater(model) as server, Reading(server) as page:
        stopped = await server.client.post("/api/chat/chat-1/stop")
        body = await page.rest()
        again = await server.client.post("/api/chat/chat-1/stop")
        await until(lambda: model.running == 0, "the model was closed")

    assert [stopped.status_code, stopped.json()] == [200, {"state": "stopped"}]
    assert [again.status_code, again.json()] == [200, {"state": "stopped"}]
    kinds = [part["type"] for part in told(body)]
    assert kinds[-4:] == ["text-end", "data-headwater", "finish-step", "abort"]
    assert told(body)[-3]["data"]["state"] == "stopped"


async def test_a_new_question_stops_the_run_before_it_in_the_same_chat() -> None:
    """A chat has one run at a time; a run that another chat asked for too goes on."""
    model = Scripted([HELLO[0], SILENCE])
    async with headwater(model) as server, Reading(server, question="One") as first:
        async with Reading(server, question="Two") as second:
            assert told(await first.rest())[-1] == {"type": "abort"}
            async with Reading(server, question="Two") as joined:  # the same run again, which must not stop it
                assert "collapsed" in joined.response.headers["cache-status"]
                async with Reading(server, "/api/chat/chat-1/stream") as resumed:
                    await server.client.post("/api/chat/chat-1/stop")
                    assert await resumed.rest() == await joined.rest()
                assert said(await second.rest()) == "Hel"


async def test_each_subject_has_chats_of_its_own() -> None:
    """A chat's id may be guessed; what it runs may not be read, moved or stopped by others."""

    def who(request: Any) -> Principal:
        return Principal("acme", request.headers.get("x-user", "ann"))

    gate = asyncio.Event()
    async with headwater(Scripted([HELLO[0], gate, *HELLO[1:]]), who=who) as server, Reading(server) as page:
        bob = {"x-user": "bob"}
        assert (await server.client.get("/api/chat/chat-1/stream", headers=bob)).status_code == 204
        assert (await server.client.post("/api/chat/chat-1/stop", headers=bob)).status_code == 404
        other = asyncio.create_task(server.client.post("/api/chat", json=asked("Else"), headers=bob))
        await until(lambda: server.answers.running == 2, "Bob's run began")
        gate.set()
        assert said(await page.rest()) == "Hello"
        assert said((await other).content) == "Hello"


async def test_a_run_is_continued_after_any_number_of_parts() -> None:
    """`WorkflowChatTransport` counts parts; a finished log is served too, and past its end an error."""
    async with headwater(Scripted([*HELLO])) as server:
        whole = await post(server)
        parts, run = told(whole.content), whole.headers[RUN]
        for count in range(len(parts)):
            rest = await server.client.get(f"/api/chat/{run}/stream?startIndex={count}")
            assert told(rest.content) == parts[count:]
        by_chat = await server.client.get("/api/chat/chat-1/stream?startIndex=0")
        beyond = await server.client.get(f"/api/chat/{run}/stream?startIndex={len(parts)}")
        tail = await server.client.get(f"/api/chat/{run}/stream?startIndex=-5")
        by_offset = await server.client.get(f"/api/chat/{run}/stream", headers={"last-event-id": "1-2"})

    assert by_chat.content == whole.content
    assert [beyond.status_code, beyond.text.partition(",")[0]] == [410, "The answer has ended"]
    assert [tail.status_code, tail.headers["content-type"]] == [400, PLAIN]
    assert said(by_offset.content) == "lo"


async def test_the_pages_tool_gets_its_call_and_its_result_continues_the_message() -> None:
    """Also when the second answer is a hit, and when it is resumed."""
    tools = [{"name": "weather", "parameters": {"type": "object"}}]
    call = (ToolCallStart("c1", "weather"), ToolCallDelta("c1", "{}"), ToolCallEnd("c1"), Finish("tool_calls"))
    async with headwater(Scripted([*call])) as server:
        first = await post(server, tools=tools)
        available = next(part for part in told(first.content) if part["type"] == "tool-input-available")
        done = {
            "type": "tool-weather",
            "toolCallId": available["toolCallId"],
            "state": "output-available",
            "output": "4 °C",
        }
        message = {"id": "a1", "role": "assistant", "parts": [{"type": "step-start"}, done]}
        body = asked(tools=tools, messageId="a1")
        body["messages"].append(message)
        second = await server.client.post("/api/chat", json=body)
        hit = await server.client.post("/api/chat", json=body)
        resumed = await server.client.get(f"/api/chat/{hit.headers[RUN]}/stream?startIndex=0")

    assert "dynamic" not in available
    assert told(first.content)[-1]["finishReason"] == "tool-calls"
    for answer in (second, hit, resumed):
        assert told(answer.content)[0] == {"type": "start", "messageId": "a1"}
    assert "hit" in hit.headers["cache-status"]
    assert resumed.content == hit.content


async def test_who_regenerates_gets_another_answer_which_takes_the_place_of_the_first() -> None:
    """The next one who asks gets the newer answer from the cache."""
    model = Scripted([*HELLO])
    async with headwater(model) as server:
        first = await post(server)
        again = await post(server, trigger="regenerate-message", messageId="a1")
        hit = await post(server)

    assert len(model.prompts) == 2
    assert again.headers["cache-status"] == "headwater; fwd=request"
    assert hit.headers[RUN].startswith(again.headers[RUN])
    assert not hit.headers[RUN].startswith(first.headers[RUN])


async def test_tools_and_settings_reach_the_model() -> None:
    """What an app adds to the body is as in every other dialect."""
    model = Scripted([*HELLO])
    async with headwater(model) as server:
        await post(server, temperature=0.5, tools={"weather": {"parameters": {"type": "object"}}}, top_k=3)

    assert model.prompts[0].parameters.temperature == 0.5
    assert model.prompts[0].tools == [Tool("weather", parameters={"type": "object"})]
    assert model.prompts[0].extra == {"top_k": 3}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("POST", "/api/chat", {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}, 422, "has no parts"),
        ("POST", "/api/chat", {}, 422, "The field messages is not a list"),
        ("POST", "/api/chat", [], 400, "The body is not a JSON object"),
        ("POST", "/api/chat", asked(model="nope"), 404, "nope"),
        ("POST", "/api/completion", {"messages": []}, 422, "The field prompt is not a text"),
        ("POST", "/api/completion?protocol=text", {"messages": []}, 422, "The field prompt is not a text"),
        ("GET", "/api/chat", None, 405, "POST"),
        ("DELETE", "/api/chat/c/stop", None, 405, "POST"),
        ("GET", "/api/chat/c/else", None, 404, "there is no GET /api/chat/c/else"),
    ],
)
async def test_a_failure_before_the_first_token_is_a_sentence(
    method: str, path: str, body: Any, status: int, says: str
) -> None:
    """The clients show the whole body to their users."""
    async with headwater(Scripted([*HELLO])) as server:
        refused = await server.client.request(method, path, json=body)

    assert [refused.status_code, refused.headers["content-type"]] == [status, PLAIN]
    assert says.lower() in refused.text.lower()
    assert not refused.text.startswith("{")


async def test_a_provider_that_refuses_has_its_status_and_one_that_breaks_off_an_error_part() -> None:
    """Never a `finish`, which clients take for success."""
    failure = ModelError("The provider has no room.", code="overloaded", status=503, retryable=True, retry_after=3)
    async with headwater(Scripted([failure])) as server:
        refused = await post(server)
    async with headwater(Scripted([HELLO[0], failure])) as server:
        broken = await post(server)

    assert [refused.status_code, refused.text] == [503, "The provider has no room."]
    assert refused.headers["retry-after"] == "3"
    kinds = [part["type"] for part in told(broken.content)]
    assert kinds == ["start", "start-step", "text-start", "text-delta", "text-end", "data-headwater", "error"]
    assert told(broken.content)[-1]["errorText"] == "The provider has no room."


async def test_a_completion_comes_as_parts_or_as_text() -> None:
    """`useCompletion` says nowhere which protocol it reads, so its app must."""
    async with headwater(Scripted([*HELLO])) as server:
        data = await server.client.post("/api/completion", json={"prompt": "Once"})
        text = await server.client.post("/api/completion?protocol=text", json={"prompt": "Once"})
        accepted = await server.client.post(
            "/api/completion", content=json.dumps({"prompt": "Once"}), headers={"accept": "text/plain"}
        )

    assert [said(data.content), text.text, accepted.text] == ["Hello"] * 3
    assert [data.headers["content-type"], text.headers["content-type"]] == [SSE, PLAIN]


async def test_an_answer_goes_on_when_its_reader_leaves_and_other_pages_may_read_its_headers() -> None:
    """A page that reloads leaves first; only a stop ends an answer."""
    gate, origin = asyncio.Event(), "https://app.example"
    async with headwater(Scripted([HELLO[0], gate, *HELLO[1:]]), origins=[origin]) as server:
        async with Reading(server) as page:
            run = page.response.headers[RUN]
        gate.set()
        whole = await server.client.get(f"/api/chat/{run}/stream?startIndex=0", headers={"origin": origin})

    assert said(whole.content) == "Hello"
    assert RUN in whole.headers["access-control-expose-headers"].lower()
