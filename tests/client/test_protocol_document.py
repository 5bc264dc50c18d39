"""docs/protocol.md is sufficient: a client written from the document alone reads a real server."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Any

import httpx
import msgspec
import pytest
from canned import canned, events
from proxy import breakable
from serving import headwater

from headwater.entries import Entry, record
from headwater.errors import ModelError, StoreError
from headwater.events import (
    Continued,
    Event,
    Finish,
    Metadata,
    ReasoningDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolResult,
    Usage,
)
from headwater.log.memory import MemoryStore
from headwater.models.scripted import SILENCE, Scripted
from headwater.offsets import ORIGIN, Offset
from headwater.principal import ANYONE

CHAT = "/api/stream/completion/chat"
QUESTION = {"messages": [{"role": "user", "content": "Hi"}]}


class Reader:
    """The client that the document describes; knows httpx, and nothing of Headwater."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.location = ""
        self.offset: str | None = None
        self.answer: dict[str, Any] = {}
        self.requests = 0

    async def ask(self, body: dict[str, Any]) -> dict[str, Any]:
        """Start an answer and read it to its ending, through as many connections as that takes."""
        while not self.location:
            await self.request("POST", CHAT, headers={"Idempotency-Key": "one-question"}, json=body)
        return await self.read_on()

    async def read_on(self) -> dict[str, Any]:
        """Read a log that was started to its ending."""
        while "ending" not in self.answer:
            await self.request("GET", self.location, headers={"Last-Event-ID": self.offset} if self.offset else {})
        return self.answer

    async def request(self, method: str, path: str, **what: Any) -> None:
        """Make one request; a connection that breaks is nothing special."""
        self.requests += 1
        assert self.requests < 50, "no progress"
        with suppress(httpx.RequestError):
            async with self.http.stream(method, path, **what) as response:
                await self.take(response)

    async def take(self, response: httpx.Response) -> None:
        """Read one response: frames, a refusal, or nothing more."""
        self.location = response.headers.get("location", self.location)
        if response.status_code == 200:
            await self.stream(response)
        elif response.status_code == 204 or (self.offset is None and response.request.method == "GET"):
            state = await self.http.get(self.location, headers={"Accept": "application/json"})
            self.answer["ending"] = state.json()["ending"]
        elif not json.loads(await response.aread())["retryable"]:
            response.raise_for_status()

    async def stream(self, response: httpx.Response) -> None:
        """Read frames as they arrive; half a frame at the end is dropped."""
        rest = b""
        async for piece in response.aiter_bytes():
            *frames, rest = (rest + piece).split(b"\n\n")
            for frame in frames:
                fields = dict(line.split(": ", 1) for line in frame.decode().split("\n") if not line.startswith(":"))
                if "data" not in fields:
                    continue
                if "id" in fields:
                    event = json.loads(fields["data"])
                    if event.get("rewind", before := (self.offset or "").partition(".")[0]) != before:
                        self.offset = None
                        return
                    self.fold(event)
                    self.offset = fields["id"]
                elif not (error := json.loads(fields["data"]))["retryable"]:
                    raise ValueError(error["message"])

    def fold(self, event: dict[str, Any]) -> None:
        """Add one event to the answer."""
        tools = {tool["id"]: tool for tool in self.answer.get("tools", [])}
        match event["type"]:
            case "start":
                self.answer = {"text": "", "reasoning": "", "tools": [], "metadata": {}, "model": event["model"]}
                self.answer["continued"] = []
            case "text-delta":
                self.answer["text"] += event["text"]
            case "reasoning-delta":
                self.answer["reasoning"] += event["text"]
            case "tool-call-start":
                call = {"id": event["id"], "name": event["name"], "arguments": "", "complete": False, "output": None}
                self.answer["tools"].append(call)
            case "tool-call-delta":
                tools[event["id"]]["arguments"] += event["arguments"]
            case "tool-call-end":
                tools[event["id"]]["complete"] = True
            case "tool-result":
                tools[event["id"]]["output"] = (tools[event["id"]]["output"] or "") + event["output"]
            case "metadata":
                self.answer["metadata"].update(event["data"])
            case "continued":
                self.answer["continued"].append(event)
            case "finish" | "stop" | "error":
                self.answer["ending"] = event
            case _:
                pass


EVERYTHING = [
    Metadata({"fitted": {"dropped": 2}, "draft": True}),
    Metadata({"draft": False}),
    ReasoningDelta("Let me "),
    ReasoningDelta("see."),
    ToolCallStart("c1", "search"),
    ToolCallDelta("c1", '{"q":'),
    ToolCallDelta("c1", ' "\u2028é"}'),
    ToolCallEnd("c1"),
    ToolResult("c1", "two "),
    ToolResult("c1", "results"),
    TextDelta("né"),
    TextDelta("\U0001f600\n\n"),
    Finish("stop", Usage(3, 2)),
]
FOLDED = {
    "text": "né\U0001f600\n\n",
    "reasoning": "Let me see.",
    "tools": [
        {"id": "c1", "name": "search", "arguments": '{"q": "\u2028é"}', "complete": True, "output": "two results"}
    ],
    "metadata": {"fitted": {"dropped": 2}, "draft": False},
    "continued": [],
    "model": "scripted",
    "ending": {"type": "finish", "reason": "stop", "usage": {"input_tokens": 3, "output_tokens": 2}},
}


async def test_the_documents_client_folds_every_event_wherever_the_connection_breaks() -> None:
    """Each connection is cut some bytes further on than the one before, from the headers to the ending."""
    async with headwater(Scripted(EVERYTHING)) as server, breakable(server.client) as proxy:
        whole = await server.client.post(CHAT, json=QUESTION)
        for first in range(200, 1400, 150):
            proxy.cuts = list(range(first, len(whole.content) + 1000, 97))
            async with httpx.AsyncClient(base_url=proxy.url) as http:
                reader = Reader(http)
                assert await reader.ask(QUESTION) == FOLDED
                assert reader.requests > 1


async def test_the_documents_client_reads_on_while_the_answer_is_made() -> None:
    """It loses its connection in the middle, and neither loses nor repeats a word."""
    gate = asyncio.Event()
    model = Scripted([TextDelta("a"), gate, TextDelta("b"), Finish("stop")])
    async with headwater(model) as server, breakable(server.client) as proxy:
        async with httpx.AsyncClient(base_url=proxy.url) as http:
            reader = Reader(http)
            asking = asyncio.create_task(reader.ask(QUESTION))
            async with asyncio.timeout(5):
                while not reader.answer.get("text"):
                    await asyncio.sleep(0)
            proxy.cut()
            gate.set()
            answer = await asking

    assert (answer["text"], answer["ending"]) == ("ab", {"type": "finish", "reason": "stop"})
    assert len(model.prompts) == 1
    assert reader.requests == 2


@pytest.mark.parametrize("before", [[], [TextDelta("part")]], ids=["before its first token", "in the middle"])
async def test_the_documents_client_finds_the_ending_of_an_answer_that_failed(before: list[Event]) -> None:
    """As a refusal or as an event: the ending is the same, and what came before is kept."""
    model = Scripted([*before, ModelError("boom", code="provider_cut", retryable=True)])
    async with headwater(model) as server:
        reader = Reader(server.client)
        answer = await reader.ask(QUESTION)
        state = await server.client.get(reader.location, headers={"Accept": "application/json"})

    assert (state.status_code, state.json()["state"]) == (200, "failed")
    assert answer["ending"] == {"type": "error", "code": "provider_cut", "message": "Boom.", "retryable": True}
    assert answer.get("text", "") == "".join(event.text for event in before if isinstance(event, TextDelta))
    assert len(model.prompts) == 1


async def test_the_documents_client_is_told_of_a_stop() -> None:
    """By another request, while the model is silent."""
    async with headwater(Scripted([TextDelta("a"), SILENCE])) as server:
        reader = Reader(server.client)
        asking = asyncio.create_task(reader.ask(QUESTION))
        async with asyncio.timeout(5):
            while not reader.answer.get("text"):
                await asyncio.sleep(0)
        await server.client.post(f"{reader.location}/stop")
        answer = await asking

    assert (answer["text"], answer["ending"]) == ("a", {"type": "stop", "by": "anyone"})


async def test_a_response_that_cannot_be_continued_says_so_without_an_id() -> None:
    """The store fails while a log that another server writes is read; the reader comes back and gets the rest."""

    class Failing(MemoryStore):
        """Breaks off the first reading of a log after one page."""

        broke = False

        async def read(
            self, log: str, after: Offset = ORIGIN, *, follow: bool = True
        ) -> AsyncGenerator[Sequence[Entry], None]:
            async with aclosing(super().read(log, after, follow=follow)) as pages:
                async for page in pages:
                    if not self.broke:
                        self.broke = True
                        yield page[:2]
                        raise StoreError("the disk is busy")
                    yield page

    store = Failing()
    events = [Start("m", "model"), TextDelta("a"), TextDelta("b"), Finish("stop")]
    entries = [record(Offset(1, sequence), 0.0, event) for sequence, event in enumerate(events, 1)]
    await store.seal(entries, await store.open("0123456789ab-1", ANYONE, ttl=60))
    async with headwater(Scripted([]), store) as server:
        reader = Reader(server.client)
        reader.location = "/api/streams/0123456789ab-1"
        first = await server.client.get(reader.location)
        store.broke = False
        answer = await reader.read_on()

    *_, last = first.text.strip().split("\n\n")
    assert json.loads(last.removeprefix("data: "))["code"] == "store"
    assert (answer["text"], answer["ending"]) == ("ab", {"type": "finish", "reason": "stop"})


@pytest.mark.parametrize("seen", range(1, 7))
async def test_the_documents_client_takes_back_what_a_dead_server_had_not_stored(seen: int) -> None:
    """It has less, as much or more than the three events that were stored; it ends with the text of the log."""
    shown = [Start("m", "model"), *(TextDelta(f"old{n} ") for n in range(5))]
    seam = Continued("server", "prompt", "1-3", rewind="1-3")
    store, log = MemoryStore(), "0123456789ab-1"
    lease = await store.open(log, ANYONE, ttl=60, recovery=b"{}")
    await store.append([record(Offset(1, n), 0.0, event) for n, event in enumerate(shown[:3], 1)], lease)
    await store.release(lease)
    further = [record(Offset(2, n), 1.0, event) for n, event in enumerate([seam, TextDelta("new"), Finish("stop")], 4)]
    await store.seal(further[1:], await store.take_over(further[:1], log))
    async with headwater(Scripted([]), store) as server:
        reader = Reader(server.client)
        reader.location, reader.offset = f"/api/streams/{log}", f"1-{seen}.1"
        for event in shown[:seen]:
            reader.fold(msgspec.to_builtins(event))
        answer = await reader.read_on()

    assert (answer["text"], len(answer["continued"])) == ("old0 old1 new", 1)
    assert reader.requests == (1 if seen <= 3 else 2)


async def test_the_documents_client_lives_with_a_newer_server() -> None:
    """Unknown types and fields are passed over, their offsets kept; a frame without an id is no ending (P28, P40)."""
    location = "/api/streams/0123456789ab-1"
    first = [
        'id: 1-1\ndata: {"type":"start","message_id":"0123456789ab-1","model":"m","mood":"good"}',
        'id: 1-2\ndata: {"type":"text-delta","text":"a"}',
        ':\nid: 1-3\ndata: {"type":"image-delta","pixels":"AAAA"}',
        'data: {"type":"error","code":"store","message":"the disk is busy","retryable":true}',
    ]
    second = ['id: 1-4\ndata: {"type":"text-delta","text":"b"}', 'id: 1-5\ndata: {"type":"finish","reason":"stop"}']
    async with canned(events(*first, Location=location), events(*second)) as peer:
        async with httpx.AsyncClient(base_url=peer.url) as http:
            answer = await Reader(http).ask(QUESTION)

    assert (answer["text"], answer["ending"]["type"]) == ("ab", "finish")
    assert "last-event-id: 1-3" in peer.requests[1].lower()
