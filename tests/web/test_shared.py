"""Share links: whoever has one reads a conversation, and nothing else."""

import asyncio
from base64 import b64encode
from typing import Any

import httpx
import pytest
from serving import Headwater, frames, headwater, parse, text_of, until
from test_keys import ANN, EVE, bearer, keys

from headwater.events import Finish, TextDelta
from headwater.models.scripted import Scripted
from headwater.web.response import Pace
from headwater.web.routes import shared

ALL = "/api/conversations"
CHAT = f"{ALL}/conversation-1"
SYSTEM = "Talk like a pirate."


async def ask(server: Headwater, content: str, parent: str | None = None, **fields: Any) -> dict[str, Any]:
    """Ask in the conversation; the node of the answer as it is begun."""
    asked = {"content": content, "parent": parent, **fields}
    response = await server.client.post(f"{CHAT}/messages", json=asked)
    assert response.status_code == 202, response.text
    return response.json()["answer"]


async def share(server: Headwater, **headers: str) -> str:
    """Make the link; its token."""
    response = await server.client.post(f"{CHAT}/share", headers=headers)
    assert response.status_code == 200, response.text
    assert response.json()["url"].endswith(f"/shared?id={response.json()['token']}")
    return response.json()["token"]


def stranger(server: Headwater) -> httpx.AsyncClient:
    """A client without a cookie or a key."""
    return httpx.AsyncClient(base_url=server.client.base_url, timeout=20)


async def test_a_link_shows_the_branch_that_the_owner_sees_and_no_system_prompt() -> None:
    """Neither the other branches, nor an id by which anything could be stopped or deleted."""
    async with headwater(Scripted([TextDelta("x"), Finish("stop")])) as server, stranger(server) as other:
        await server.client.put(CHAT, json={"settings": {"system": SYSTEM, "temperature": 0.5}})
        first = await ask(server, "one")
        await until(lambda: not server.answers.running, "it is answered")
        second = await ask(server, "another")
        await until(lambda: not server.answers.running, "it is answered")
        token = await share(server)
        assert await share(server) == token
        mine = (await server.client.get(CHAT)).json()
        response = await other.get(f"/api/shared/{token}")
        again = await other.get(f"/api/shared/{token}", headers={"if-none-match": response.headers["etag"]})
        stream = await other.get(f"/api/shared/{token}/stream")

    seen = response.json()
    assert mine["shared"] == token
    assert len(token) >= 22
    assert len(mine["messages"]) == 4
    assert [node["id"] for node in seen["messages"]] == [second["parent"], second["id"]]
    assert seen["settings"] == {"temperature": 0.5}
    for secret in (SYSTEM, "conversation-1", first["id"], "/api/streams/"):
        assert secret not in response.text
    assert "set-cookie" not in response.headers
    assert response.headers["x-robots-tag"] == "noindex"
    assert (again.status_code, again.headers["x-robots-tag"]) == (304, "noindex")
    assert stream.status_code == 204


async def test_files_of_the_branch_that_is_shown_come_with_the_link() -> None:
    """Until it is revoked; those of another branch do not."""
    async with headwater(Scripted([TextDelta("x"), Finish("stop")])) as server, stranger(server) as other:
        for name in ("hidden", "shown"):
            file = {"name": f"{name}.txt", "type": "text/plain", "data": b64encode(name.encode()).decode()}
            await ask(server, f"read {name}", attachments=[file])
            await until(lambda: not server.answers.running, "it is answered")
        token = await share(server)
        mine = (await server.client.get(CHAT)).json()["messages"]
        hidden, shown = [node["attachments"][0]["id"] for node in mine if node["role"] == "user"]
        files = [await other.get(f"/api/shared/{token}/attachments/{id}") for id in (shown, hidden)]
        await server.client.delete(f"{CHAT}/share")
        gone = await other.get(f"/api/shared/{token}/attachments/{shown}")

    assert (files[0].text, files[0].headers["cache-control"]) == ("shown", "private, no-cache")
    assert [files[1].status_code, gone.status_code] == [404, 404]


async def test_a_reader_of_a_link_follows_the_live_answer_and_resumes() -> None:
    """At the address that the open node names; the rest also comes after the answer has ended."""
    gate = asyncio.Event()
    model = Scripted([TextDelta("one "), gate, TextDelta("two"), Finish("stop")])
    async with headwater(model, pace=Pace(hold=0.01)) as server, stranger(server) as other:
        log = (await ask(server, "hi"))["location"].rpartition("/")[2]
        token = await share(server)
        seen = (await other.get(f"/api/shared/{token}")).json()
        location = seen["messages"][-1]["location"]
        assert (location, seen["messages"][-1]["state"]) == (f"/api/shared/{token}/stream", "open")
        assert (await other.head(location)).status_code == 200
        async with other.stream("GET", location) as response:
            read = frames(response)
            got = [await anext(read)]
            while got[-1]["type"] != "text-delta":
                got += [await anext(read)]
            cursor = got[-1].id
            gate.set()
            got += [frame async for frame in read]
        await until(lambda: not server.answers.running, "it is answered")
        rest = parse((await other.get(location, headers={"last-event-id": cursor or ""})).content)
        over = await other.get(location, headers={"last-event-id": got[-1].id or ""})
        settled = (await other.get(f"/api/shared/{token}")).json()["messages"][-1]

    assert text_of(got) == "one two"
    assert text_of(rest) == "two"
    assert over.status_code == 204
    assert log not in str([dict(frame) for frame in got])
    assert (settled["state"], settled["text"], settled["location"]) == ("finished", "one two", None)


@pytest.mark.parametrize("how", ["unshared", "deleted"])
async def test_a_revoked_link_is_none_at_once_and_ends_open_streams(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the next event that comes more than a second after the last look at the link."""
    monkeypatch.setattr(shared, "LOOK", 0.0)
    gate = asyncio.Event()
    model = Scripted([TextDelta("one "), gate, TextDelta("secret"), Finish("stop")])
    async with headwater(model, pace=Pace(hold=0.01)) as server, stranger(server) as other:
        await ask(server, "hi")
        token = await share(server)
        async with other.stream("GET", f"/api/shared/{token}/stream") as response:
            read = frames(response)
            got = [await anext(read)]
            while got[-1]["type"] != "text-delta":
                got += [await anext(read)]
            path = f"{CHAT}/share" if how == "unshared" else CHAT
            revoking = asyncio.create_task(server.client.delete(path))
            if how == "unshared":
                assert (await revoking).status_code == 204
                gate.set()
            got += [frame async for frame in read]
            assert (await revoking).status_code == 204
        gone = [await other.get(f"/api/shared/{token}{path}") for path in ("", "/stream")]
        if how == "unshared":
            assert (await server.client.get(CHAT)).json()["shared"] is None
            assert await share(server) != token

    assert (got[-1]["type"], got[-1]["code"], got[-1].id) == ("error", "no_such_conversation", None)
    assert text_of(got) == "one "
    assert [(each.status_code, each.json()["code"]) for each in gone] == [(404, "no_such_conversation")] * 2


async def test_only_the_owner_shares_and_a_link_needs_no_key() -> None:
    """The page of a link and its files do not either; everything else does."""
    async with headwater(Scripted([TextDelta("x"), Finish("stop")]), keys=keys()) as server, stranger(server) as other:
        server.client.headers.update(bearer(ANN))
        await ask(server, "one")
        assert (await other.post(f"{CHAT}/share")).status_code == 401
        for method in ("POST", "DELETE"):
            foreign = await other.request(method, f"{CHAT}/share", headers=bearer(EVE))
            assert foreign.status_code == 404
        token = await share(server)
        shown = await other.get(f"/api/shared/{token}")
        page = await other.get(f"/shared?id={token}", headers={"sec-fetch-site": "cross-site", **_LINK})
        foreign = [await other.get(path) for path in (CHAT, "/api/streams", f"/api/shared/{token}/share", "/api/about")]

    assert shown.json()["messages"][-1]["text"] == "x"
    assert (page.status_code, page.headers["x-robots-tag"], page.headers["referrer-policy"]) == (
        200,
        "noindex",
        "no-referrer",
    )
    assert [each.status_code for each in foreign] == [401, 401, 404, 401]


_LINK = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


async def test_the_store_has_the_token_of_a_link_in_no_name() -> None:
    """Whoever lists its names has no link."""
    async with headwater(Scripted([TextDelta("x"), Finish("stop")])) as server:
        await ask(server, "one")
        token = await share(server)
        [(name, _)] = await server.answers.documents.list_documents("shares")

    assert token not in name
