"""A server of the operator's is told when an answer ends: signed, until it takes it, and nobody else is."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fastapi import FastAPI
from serving import Headwater, chat, frames, headwater, post_chat, serving, until
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from headwater.errors import ModelError
from headwater.events import Finish, TextDelta, Usage
from headwater.log.memory import MemoryStore
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Document
from headwater.models.scripted import SILENCE, Scripted
from headwater.observe import OnFinish
from headwater.principal import ANYONE
from headwater.settings import Settings
from headwater.web.response import Pace
from headwater.webhooks import queue
from headwater.webhooks.queue import Notice, Webhooks
from headwater.webhooks.sender import Sender
from headwater.wiring.router import router
from headwater.wiring.webhooks import webhooks as of_settings

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
SAID = [TextDelta("Hello"), Finish("stop", Usage(3, 2))]


class Receiver:
    """A server that takes webhooks, with these statuses in turn and then 200."""

    def __init__(self, statuses: Sequence[int] = ()) -> None:
        self.got: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.url = ""
        self._statuses = list(statuses)

    async def take(self, request: Request) -> Response:
        body = await request.body()
        headers = dict(request.headers)
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = hmac.new(b"0123456789abcdef0123456789abcdef", signed, hashlib.sha256).digest()
        assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
        assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
        self.got.append((headers, json.loads(body)))
        status = self._statuses.pop(0) if self._statuses else 200
        return RedirectResponse("/other", 307) if status == 307 else Response(status_code=status)

    async def came(self, count: int = 1) -> dict[str, Any]:
        """The last of so many messages."""
        await until(lambda: len(self.got) >= count, f"{count} messages came, and not {len(self.got)}")
        return self.got[-1][1]


@asynccontextmanager
async def receiving(*statuses: int) -> AsyncGenerator[Receiver, None]:
    receiver = Receiver(statuses)
    async with serving(Starlette(routes=[Route("/{path:path}", receiver.take, methods=["POST"])])) as client:
        receiver.url = f"{client.base_url}/hook".replace("//hook", "/hook")
        yield receiver


def hooks(receiver: Receiver, which: Any = "unread", *, own: bool = True, text: bool = False) -> Webhooks:
    sender = Sender(SECRET, ["127.0.0.1"])
    return Webhooks(sender, sender, receiver.url if own else None, which, text=text)


async def listed(server: Headwater) -> Sequence[tuple[str, Document]]:
    """The notices in the store."""
    return await server.answers.documents.list_documents(queue.COLLECTION)


async def until_stored(
    fact: Callable[[list[bytes]], bool], read: Callable[[str], Awaitable[Sequence[tuple[str, Document]]]]
) -> None:
    """Wait until the notices in the store are as a fact has them; no event tells."""
    async with asyncio.timeout(5):
        while not fact([each.value for _, each in await read(queue.COLLECTION)]):
            await asyncio.sleep(0.01)


async def empty(server: Headwater) -> None:
    """Wait until every message was taken or given up."""
    await until_stored(lambda notices: not notices, server.answers.documents.list_documents)


async def test_the_end_of_a_background_response() -> None:
    """What ended and how, with its usage, and not what it says."""
    async with receiving() as receiver, headwater(Scripted(SAID), webhooks=hooks(receiver, "background")) as server:
        asked = {"model": "scripted", "input": "Hi", "background": True}
        id = (await server.client.post("/v1/responses", json=asked)).json()["id"].removeprefix("resp_")
        message = await receiver.came()
        assert message["type"] == "answer.ended"
        assert (message["id"], message["state"], message["tenant"]) == (id, "finished", "default")
        assert message["location"] == f"/api/streams/{id}"
        assert (message["usage"]["input_tokens"], message["ending"]["reason"]) == (3, "stop")
        assert "Hello" not in json.dumps(message)
        assert (await server.client.get(message["location"])).status_code == 200
        await post_chat(server.client, "Ho")
        assert not await listed(server)
    assert len(receiver.got) == 1


async def test_an_answer_that_nobody_reads_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader who has left is told; one that reads to the end needs no message."""
    gate = asyncio.Event()
    model = Scripted([TextDelta("Hel"), gate, TextDelta("lo"), Finish("stop")])
    async with (
        receiving() as receiver,
        headwater(model, webhooks=hooks(receiver, text=True), pace=Pace(heartbeat=0.05)) as server,
    ):
        gate.set()
        await post_chat(server.client, "read to the end")
        gate.clear()
        monkeypatch.setattr(queue, "JUST", 0.0)  # for which a reader may have left as its answer ended
        async with server.client.stream("POST", "/api/stream/completion/chat", json=chat("left")) as left:
            async for frame in frames(left):
                if frame["type"] == "text-delta":
                    break
        generation = next(iter(server.answers.generations.values()))
        await until(lambda: generation.writer.readers == 0, "the heartbeat has found that the reader left")
        gate.set()
        message = await receiver.came()
        assert (message["text"], message["id"]) == ("Hello", left.headers["location"].rpartition("/")[2])
    assert len(receiver.got) == 1


async def test_every_answer() -> None:
    """Failures too; a replay generates nothing, so nothing is told of it."""
    model = Scripted([ModelError("down", status=503)])
    async with receiving() as receiver, headwater(model, webhooks=hooks(receiver, "all")) as server:
        await post_chat(server.client)
        message = await receiver.came()
        assert (message["state"], message["ending"]["type"]) == ("failed", "error")
    async with receiving() as receiver, headwater(Scripted(SAID), webhooks=hooks(receiver, "all")) as server:
        for _ in range(3):
            await post_chat(server.client)
        await post_chat(server.client, "another")
        await receiver.came(2)
    assert len(receiver.got) == 2


async def test_a_request_names_its_own_address() -> None:
    """On hosts that the operator allows, of a new answer and of one that is stored; another host is refused at once."""
    model = Scripted(SAID)
    async with receiving() as receiver, headwater(model, webhooks=hooks(receiver, own=False)) as server:
        for count in (1, 2):
            response = await post_chat(server.client, **{"Headwater-Webhook": receiver.url})
            assert (await receiver.came(count))["id"] == response.headers["location"].rpartition("/")[2]
        refused = await post_chat(server.client, "Ho", **{"Headwater-Webhook": "https://evil.example/"})
        assert (refused.status_code, refused.json()["code"]) == (422, "webhook_refused")
    assert len(model.prompts) == 1


async def test_a_request_names_its_own_address_of_an_answer_that_has_just_ended(tmp_path: Path) -> None:
    """The message does not wait for what else is done about the ending, nor for the next look at the notices."""
    gate = asyncio.Event()

    async def finished(_: object) -> None:
        await gate.wait()

    async with (
        receiving() as receiver,
        headwater(
            Scripted(SAID),
            SqliteStore(tmp_path / "logs"),
            webhooks=hooks(receiver, own=False),
            observers=[OnFinish(finished)],
        ) as server,
    ):
        await post_chat(server.client)
        await post_chat(server.client, **{"Headwater-Webhook": receiver.url})
        await receiver.came()
        body, named = {"content": "Ho"}, {"Headwater-Webhook": receiver.url}  # which is named once the question is kept
        await server.client.post("/api/conversations/conv-0001/messages", json=body, headers=named)
        await receiver.came(2)
        gate.set()


async def test_a_question_in_a_conversation_names_its_own_address() -> None:
    """With the id and the path under which its answer is read; an address that is not allowed asks nothing."""
    model = Scripted(SAID)
    async with receiving() as receiver, headwater(model, webhooks=hooks(receiver, own=False)) as server:
        path, body = "/api/conversations/conv-0001/messages", {"content": "Hi"}
        response = await server.client.post(path, json=body, headers={"Headwater-Webhook": receiver.url})
        assert (await receiver.came())["location"] == response.json()["answer"]["location"]
        evil = {"Headwater-Webhook": "https://evil.example/"}
        refused = await server.client.post("/api/conversations/conv-0002/messages", json=body, headers=evil)
        assert (refused.status_code, refused.json()["code"]) == (422, "webhook_refused")
        assert (await server.client.get("/api/conversations/conv-0002")).status_code == 404
    assert len(model.prompts) == 1


async def test_the_location_is_the_path_that_the_asker_sees() -> None:
    """With the prefix under which an app has the routes."""
    app = FastAPI()
    async with receiving() as receiver:
        routes = router("echo", store="memory:", webhook_hosts=["127.0.0.1"], webhook_secret=SECRET)
        app.include_router(routes, prefix="/ai")
        async with serving(app, lifespan=True) as client:
            named = {"Headwater-Webhook": receiver.url}
            response = await client.post("/ai/api/stream/completion/chat", json=chat(), headers=named)
            assert (await receiver.came())["location"] == response.headers["location"]


async def test_only_the_operator_names_an_address_on_a_private_host() -> None:
    """Its setting is one address; requests may name none there, unless the operator allows the host."""
    async with receiving() as receiver:
        own = of_settings(Settings(webhook=receiver.url, webhook_secret=SECRET, webhook_for="all"))  # pyright: ignore[reportArgumentType]
        async with headwater(Scripted(SAID), webhooks=own) as server:
            refused = await post_chat(server.client, **{"Headwater-Webhook": f"{receiver.url}/other"})
            assert (refused.status_code, refused.json()["code"]) == (422, "webhook_refused")
            await post_chat(server.client)
            await receiver.came()
            await empty(server)
    assert len(receiver.got) == 1


async def test_a_message_is_sent_until_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same id each time, and a new timestamp; a redirect is a failure, and is not followed."""
    monkeypatch.setattr(queue, "PAUSES", (0.05,) * 3)
    async with (
        receiving(500, 307, 404) as receiver,
        headwater(Scripted(SAID), webhooks=hooks(receiver, "all")) as server,
    ):
        await post_chat(server.client)
        await receiver.came(4)
        assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
        await empty(server)


@pytest.mark.parametrize(("statuses", "attempts"), [((500,) * 9, 4), ((410,), 1)], ids=["never taken", "gone"])
async def test_a_message_is_given_up(statuses: tuple[int, ...], attempts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the last pause, or when the receiver says that it is gone."""
    monkeypatch.setattr(queue, "PAUSES", (0.02,) * 3)
    async with receiving(*statuses) as receiver, headwater(Scripted(SAID), webhooks=hooks(receiver, "all")) as server:
        await post_chat(server.client)
        await receiver.came(attempts)
        await empty(server)
    assert len(receiver.got) == attempts


async def test_a_message_that_cannot_be_sent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the exception, also one that nobody has thought of."""
    monkeypatch.setattr(queue, "PAUSES", (0.02,) * 3)
    attempts: list[str] = []

    class Broken(Sender):
        async def post(self, url: str, id: str, body: bytes) -> int:
            attempts.append(id)
            raise RuntimeError("Session is closed")

    sender = Broken(SECRET, ["127.0.0.1"])
    webhooks = Webhooks(sender, sender, "http://127.0.0.1:9/", "all")
    async with headwater(Scripted(SAID), webhooks=webhooks) as server:
        await post_chat(server.client)
        await until(lambda: len(attempts) == 4, "it was tried four times")
        await empty(server)
    assert len(attempts) == 4


async def test_a_sender_that_was_closed_is_used_again() -> None:
    """As by an app that is started twice."""
    async with receiving() as receiver:
        sender = Sender(SECRET, ["127.0.0.1"])
        for _ in range(2):
            assert await sender.post(receiver.url, "id", b"{}") == 200
            await sender.aclose()


async def test_an_outage_of_the_receiver_makes_the_server_look_no_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look reads every notice, so there is none for each failure."""
    monkeypatch.setattr(queue, "PAUSES", (60.0,) * 3)

    class Counting(MemoryStore):
        looks = 0

        async def list_documents(self, collection: str, *, after: str = "") -> Sequence[tuple[str, Document]]:
            self.looks += collection == queue.COLLECTION
            return await super().list_documents(collection, after=after)

    store = Counting()
    uncounted = super(Counting, store).list_documents
    async with receiving(*(503,) * 99) as receiver:
        async with headwater(Scripted(SAID), store, webhooks=hooks(receiver, "all")) as server:
            await asyncio.gather(*(post_chat(server.client, str(number)) for number in range(10)))
            await receiver.came(10)
            await until_stored(lambda notices: sum(b'"failures":1' in each for each in notices) == 10, uncounted)
            assert store.looks <= 2


async def test_more_messages_than_fit_are_sent_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that did not fit wait for a place, and not for the next look of all servers."""
    monkeypatch.setattr(queue, "SOON", 0.05)
    monkeypatch.setattr(queue, "MOST", 2)
    path = tmp_path / "logs.sqlite"
    async with receiving() as receiver:
        async with headwater(Scripted(SAID), SqliteStore(path)) as server:
            for number in range(6):
                id = (await post_chat(server.client, str(number))).headers["location"].rpartition("/")[2]
                notice = Notice(id, *ANYONE, receiver.url, 0.0)
                value = msgspec.json.encode(notice)
                await server.store.put(notice.name, value, ttl=60, collection=queue.COLLECTION)
        async with headwater(Scripted(SAID), SqliteStore(path), webhooks=hooks(receiver)) as server:
            await server.client.get("/readyz")
            await receiver.came(6)


async def test_an_answer_whose_server_ended_and_which_no_other_goes_on_with(tmp_path: Path) -> None:
    """The server that finds it tells of it."""
    path, model = tmp_path / "logs.sqlite", Scripted([TextDelta("Hel"), SILENCE])
    async with receiving() as receiver:
        async with headwater(model, SqliteStore(path)) as dying:
            async with dying.client.stream("POST", "/api/stream/completion/chat", json=chat()) as asked:
                async for frame in frames(asked):
                    if frame["type"] == "text-delta":
                        break
        async with headwater(Scripted(SAID), SqliteStore(path), webhooks=hooks(receiver, "all")) as server:
            await server.client.get("/readyz")
            message = await receiver.came()
    assert (message["state"], message["id"]) == ("lost", asked.headers["location"].rpartition("/")[2])


async def test_a_message_survives_its_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store keeps what is to be sent: another server sends it, and of two servers one does."""
    monkeypatch.setattr(queue, "PAUSES", (0.3,) * 3)
    path = tmp_path / "logs.sqlite"
    async with receiving(503) as receiver:
        async with headwater(Scripted(SAID), SqliteStore(path), webhooks=hooks(receiver, "all")) as server:
            await post_chat(server.client)
            listed_here = server.answers.documents.list_documents
            await until_stored(lambda notices: b'"failures":1' in b"".join(notices), listed_here)
        one = headwater(Scripted(SAID), SqliteStore(path), webhooks=hooks(receiver))
        other = headwater(Scripted(SAID), SqliteStore(path), webhooks=hooks(receiver))
        async with one as first, other as second:
            for each in (first, second):  # opens its store
                await each.client.get("/readyz")
            assert (await receiver.came(2))["state"] == "finished"
            await empty(first)
    assert len(receiver.got) == 2


async def test_an_answer_that_ends_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is asked to tell of an answer which another server generates looks until that has ended."""
    monkeypatch.setattr(queue, "LOOK", 0.05)
    path, gate = tmp_path / "logs.sqlite", asyncio.Event()
    model = Scripted([gate, *SAID])
    async with (
        receiving() as receiver,
        headwater(model, SqliteStore(path)) as writer,
        headwater(model, SqliteStore(path), webhooks=hooks(receiver, own=False)) as server,
    ):
        first = asyncio.create_task(post_chat(writer.client))
        await until(lambda: model.prompts, "the answer runs")
        joined = asyncio.create_task(post_chat(server.client, **{"Headwater-Webhook": receiver.url}))
        await until_stored(bool, server.answers.documents.list_documents)
        assert not receiver.got
        gate.set()
        assert (await receiver.came())["state"] == "finished"
        await asyncio.gather(first, joined)


async def test_a_name_with_a_private_address_is_refused() -> None:
    """The address that was looked at is the one that would be connected to; a name that the operator gave may be so."""
    async with receiving() as receiver:
        port = receiver.url.rpartition(":")[2].partition("/")[0]
        sender = Sender(SECRET, [], ["*"])
        with pytest.raises(OSError, match="private address"):
            await sender.post(f"https://localhost:{port}/", "id", b"{}")
        await sender.aclose()
        named = Sender(SECRET, ["localhost"], ["*"])
        assert await named.post(f"http://localhost:{port}/", "id", b"{}") == 200
        await named.aclose()
