"""What people are told when a store or a request fails: a sentence without internals; the detail is in the log."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest
from serving import Headwater, chat, headwater, post_chat
from starlette.requests import Request
from told import is_for_people, told

from headwater.answers.generation import Timeouts
from headwater.entries import Entry
from headwater.errors import StoreError
from headwater.events import Finish, TextDelta
from headwater.log.memory import MemoryStore
from headwater.log.store import Claim, Description, Flush, Lease, Receipt
from headwater.models.scripted import Scripted

SECRET = "http://10.1.2.3:6379/0"


class Fails(MemoryStore):
    """A store that fails in the named calls, in the words of a client library."""

    def __init__(self, *calls: str, error: Exception | None = None) -> None:
        super().__init__()
        self.flush = Flush(retry_for=0.1)
        self.calls = calls
        self._error = error or StoreError(f"Redis failed: ConnectionError('{SECRET}')")

    def _fail(self, call: str) -> None:
        if call in self.calls:
            raise self._error

    async def check(self) -> None:
        self._fail("check")

    async def claim(self, *arguments: Any, **options: Any) -> Claim:
        self._fail("claim")
        return await super().claim(*arguments, **options)

    async def append(self, entries: Sequence[Entry], lease: Lease) -> Receipt:
        self._fail("append")
        return await super().append(entries, lease)

    async def describe(self, log: str) -> Description:
        self._fail("describe")
        return await super().describe(log)


async def asked(server: Headwater) -> httpx.Response:
    return await post_chat(server.client)


async def probed(server: Headwater) -> httpx.Response:
    return await server.client.get("/readyz")


async def stopped(server: Headwater) -> httpx.Response:
    return await server.client.post("/api/streams/0123456789ab-1/stop")


async def resumed(server: Headwater) -> httpx.Response:
    return await server.client.get("/api/streams/0123456789ab-1")


@pytest.mark.parametrize(
    ("call", "request_of"),
    [("claim", asked), ("append", asked), ("check", probed), ("describe", stopped), ("describe", resumed)],
    ids=["claim", "append", "check", "stop", "resume"],
)
async def test_a_failure_of_the_store_is_told_in_a_sentence(
    call: str, request_of: Callable[[Headwater], Any], caplog: pytest.LogCaptureFixture
) -> None:
    """And the store's own words stand in the log, with the stream or the path that they belong to."""
    model = Scripted([TextDelta("a"), asyncio.Event()])
    async with headwater(model, Fails(call), timeouts=Timeouts(retries=0)) as server:
        response = await request_of(server)
    problem = told(response)
    log = response.headers.get("location", str(response.url.path)).rpartition("/")[2]

    assert problem["code"] == "store"
    assert is_for_people(problem["detail"]), problem["detail"]
    assert [line for line in caplog.messages if SECRET in line and (log in line or call == "check")]


async def test_a_bug_of_a_store_is_told_in_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    """With its traceback in the log."""
    store = Fails("append", error=KeyError(SECRET))
    async with headwater(Scripted([TextDelta("a"), asyncio.Event()]), store) as server:
        response = await post_chat(server.client)

    assert (told(response)["code"], is_for_people(told(response)["detail"])) == ("internal", True)
    assert "KeyError" in caplog.text


# ---- Requests

CHAT = "/api/stream/completion/chat"
REQUESTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "not JSON": ("POST", CHAT, {"content": b"{"}),
    "JSON that is no object": ("POST", CHAT, {"json": [1]}),
    "JSON that is too deep": ("POST", CHAT, {"content": b"[" * 100_000}),
    "not UTF-8": ("POST", CHAT, {"content": b'{"messages": "\xff"}'}),
    "compressed": ("POST", CHAT, {"content": b"{}", "headers": {"content-encoding": "gzip"}}),
    "a charset": ("POST", CHAT, {"content": b"{}", "headers": {"content-type": "text/x; charset=latin-1"}}),
    "no messages": ("POST", CHAT, {"json": {}}),
    "an empty list": ("POST", CHAT, {"json": {"messages": []}}),
    "an empty question": ("POST", CHAT, {"json": chat("")}),
    "a strange role": ("POST", CHAT, {"json": {"messages": [{"role": "king", "content": "x"}]}}),
    "a temperature": ("POST", CHAT, {"json": chat(temperature=9)}),
    "a type": ("POST", CHAT, {"json": chat(temperature="hot")}),
    "an image": ("POST", CHAT, {"json": {"messages": [{"role": "user", "content": [{"type": "image"}]}]}}),
    "no text": ("POST", "/api/stream/completion", {"json": {}}),
    "a model": ("POST", CHAT, {"json": chat(model="other")}),
    "only if cached": ("POST", CHAT, {"json": chat(), "headers": {"cache-control": "only-if-cached"}}),
    "max-age": ("POST", CHAT, {"json": chat(), "headers": {"cache-control": "max-age=soon"}}),
    "a body that is too large": ("POST", CHAT, {"content": b" " * 5_000_000}),
    "no log": ("GET", "/api/streams/0123456789ab-1", {}),
    "no id": ("GET", "/api/streams/'--%00", {}),
    "no offset": ("GET", "/api/streams/0123456789ab-1?after='x", {}),
    "stop": ("POST", "/api/streams/0123456789ab-1/stop", {}),
    "forget": ("DELETE", "/api/streams/0123456789ab-1", {}),
    "a method": ("PUT", CHAT, {}),
    "no page": ("GET", "/nowhere", {}),
    "a host": ("GET", "/", {"headers": {"host": "evil.example"}}),
    "an origin": ("POST", CHAT, {"json": chat(), "headers": {"origin": "https://evil.example"}}),
    "a foreign page": ("GET", CHAT, {"headers": {"sec-fetch-site": "cross-site"}}),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_request_that_is_refused_is_told_why_in_a_sentence(name: str) -> None:
    """Whatever is wrong with it."""
    method, path, options = REQUESTS[name]
    async with headwater(Scripted([TextDelta("a"), Finish("stop")])) as server:
        response = await server.client.request(method, path, **options)

    assert response.status_code >= 400
    assert is_for_people(response.json()["detail"]), response.json()["detail"]


async def test_a_bug_of_ours_is_told_in_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    """With its traceback in the log."""

    def broken(_: Request) -> Any:
        raise KeyError(SECRET)

    async with headwater(Scripted([]), who=broken) as server:
        response = await post_chat(server.client)

    assert (response.json()["code"], is_for_people(response.json()["detail"])) == ("internal", True)
    assert "KeyError" in caplog.text


async def test_a_server_that_shuts_down_says_so_in_a_sentence() -> None:
    """To a question and to a probe."""
    async with headwater(Scripted([])) as server:
        server.answers.drain()
        ready = await server.client.get("/readyz")
        assert ready.json()["part"] == "drain"
        for response in (await post_chat(server.client), ready):
            assert (response.json()["code"], is_for_people(response.json()["detail"])) == ("shutdown", True)
