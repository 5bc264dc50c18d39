"""A server of the operator's is told when an answer ends: signed, until it takes it, and nobody else is."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import InvalidURL
from serving import Headwater, chat, frames, headwater, post_chat, serving, until
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from headwater.errors import ModelError, Unsupported
from headwater.events import Finish, TextDelta, Usage
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Document
from headwater.models.scripted import Scripted
from headwater.settings import Settings
from headwater.web.response import Pace
from headwater.webhooks import queue
from headwater.webhooks.queue import Webhooks
from headwater.webhooks.sender import Sender, WebhookRefused, is_public, key_of, signature
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
    return Webhooks(sender, receiver.url if own else None, which, text=text)


async def listed(server: Headwater) -> Sequence[tuple[str, Document]]:
    """The notices in the store."""
    return await server.answers.documents.list_documents(queue.COLLECTION)


async def empty(server: Headwater) -> None:
    """Wait until every message was taken or given up."""
    async with asyncio.timeout(5):
        while await listed(server):
            await asyncio.sleep(0.01)


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


async def test_a_message_survives_its_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store keeps what is to be sent: another server sends it, and of two servers one does."""
    monkeypatch.setattr(queue, "PAUSES", (0.3,) * 3)
    path = tmp_path / "logs.sqlite"
    async with receiving(503) as receiver:
        async with headwater(Scripted(SAID), SqliteStore(path), webhooks=hooks(receiver, "all")) as server:
            await post_chat(server.client)
            async with asyncio.timeout(5):
                while not [each for _, each in await listed(server) if b'"failures":1' in each.value]:
                    await asyncio.sleep(0.01)
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
        async with asyncio.timeout(5):
            while not await listed(server):
                await asyncio.sleep(0.01)
        assert not receiver.got
        gate.set()
        assert (await receiver.came())["state"] == "finished"
        await asyncio.gather(first, joined)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:93.184.216.34", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    """Whatever is a machine's own, a network's, or hides another address, is no address of the internet."""
    assert is_public(address) is public


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/latest",
        "https://2130706433/",
        "https://user:password@example.com/",
        "http://example.com/",
        "https://other.example/",
        "https:///",
        "https://example.com:99999/",
        "file:///etc/passwd",
        "https://example.com/\r\nX: y",
        "https://example.com/" + "a" * 3000,
    ],
)
async def test_addresses_that_are_refused(url: str) -> None:
    """Also where any host may be named: what looks like a private address, or is no plain HTTPS."""
    sender = Sender(SECRET, [], ["*"] if "other" not in url else ["*.example.com"])
    with pytest.raises((WebhookRefused, OSError, InvalidURL)):
        await sender.post(url, "id", b"{}")
    await sender.aclose()


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


def test_the_signature_is_that_of_the_specification() -> None:
    """The example with which the libraries of Standard Webhooks are tested."""
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"webhook": "https://hooks.example/"}, "HEADWATER_WEBHOOK_SECRET"),
        ({"webhook": "https://hooks.example/", "webhook_secret": "short"}, "24 bytes"),
        ({"webhook": "hooks.example", "webhook_secret": SECRET}, "HEADWATER_WEBHOOK:"),
    ],
)
def test_settings_that_cannot_work(given: dict[str, Any], wrong: str) -> None:
    """They are named when the server starts."""
    with pytest.raises(Unsupported, match=wrong):
        of_settings(Settings(**given))


def test_an_operators_own_address_may_be_private() -> None:
    """It is the operator's setting that names its host."""
    made = of_settings(Settings(webhook="http://10.0.0.7:9000/x", webhook_secret=SECRET))  # pyright: ignore[reportArgumentType]
    assert made.sender.check("http://10.0.0.7/other")
