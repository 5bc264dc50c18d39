"""The list of conversations, their changes and their end, over HTTP; and what is refused."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from conversing import CHAT, asked, at, post, read, say, settled, who
from fastapi import FastAPI
from serving import Headwater, headwater, serving, until

import headwater as library
from headwater.events import Finish, TextDelta, Usage
from headwater.models.scripted import SILENCE, Scripted

ANSWER = [TextDelta("Hel"), TextDelta("lo"), Finish("stop", Usage(3, 2))]


@pytest.fixture
async def server() -> AsyncGenerator[Headwater, None]:
    """A server whose model says Hello."""
    async with headwater(Scripted(ANSWER), who=who) as server:
        yield server


async def test_changes_at_once_are_all_kept(server: Headwater) -> None:
    """Two devices and an answer that ends change one head: no change overwrites another."""
    await say(server.client)
    patches = [{"title": "Rivers"}, {"settings": {"temperature": 0.25}}, {"leaf": None}]
    said = asyncio.ensure_future(say(server.client, "Two"))
    patched = await asyncio.gather(*(server.client.patch(at(), json=patch) for patch in patches * 5))
    answer = await said
    now = await read(server.client)

    assert {response.status_code for response in patched} == {200}
    assert (now["title"], now["settings"], now["leaf"]) == ("Rivers", {"temperature": 0.25}, answer["id"])


async def test_the_list_is_newest_first_in_pages(server: Headwater) -> None:
    """A page says where the next one begins."""
    for number in range(5):
        await say(server.client, f"Question {number}", chat=f"conv-000{number}")
    await say(server.client, "Once more", chat="conv-0001")
    first = (await server.client.get("/api/conversations", params={"limit": 3})).json()
    second = (await server.client.get("/api/conversations", params={"limit": 3, "after": first["next"]})).json()
    wrong = await server.client.get("/api/conversations", params={"limit": "many"})

    ids = [line["id"] for line in (*first["conversations"], *second["conversations"])]
    assert ids == ["conv-0001", "conv-0004", "conv-0003", "conv-0002", "conv-0000"]
    assert (len(first["conversations"]), second["next"], wrong.status_code) == (3, None, 400)


async def test_nothing_new_is_not_sent_again(server: Headwater) -> None:
    """`If-None-Match` gives 304 until something changes; long JSON is compressed."""
    await say(server.client, "x" * 2000)
    for path in ("/api/conversations", at()):
        got = await server.client.get(path)
        same = await server.client.get(path, headers={"if-none-match": got.headers["etag"]})
        await server.client.patch(at(), json={"title": f"Another title {path}"})
        other = await server.client.get(path, headers={"if-none-match": got.headers["etag"]})
        assert (same.status_code, same.content, other.status_code) == (304, b"", 200)
    plain = await server.client.get(at(), headers={"accept-encoding": "identity"})
    packed = await server.client.get(at())

    assert (packed.headers["content-encoding"], packed.json()) == ("gzip", plain.json())
    assert "content-encoding" not in plain.headers
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2


async def test_a_conversation_is_renamed_and_told_how_to_ask(server: Headwater) -> None:
    """Its own title is never replaced by one of ours."""
    made = await server.client.put(at(), json={"settings": {"system": "Be brief."}})
    there = await server.client.put(at())
    renamed = await server.client.patch(at(), json={"title": "  My   rivers "})
    answer = await say(server.client, "What is a river?")
    edited = await say(server.client, "What is a lake?")
    back = await server.client.patch(at(), json={"leaf": answer["id"]})

    assert (made.status_code, there.status_code, renamed.json()["title"]) == (201, 200, "My rivers")
    assert (back.json()["title"], back.json()["leaf"]) == ("My rivers", answer["id"])
    assert back.json()["settings"] == {"system": "Be brief."}
    assert edited["id"] != answer["id"]


BAD: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/messages", {"answer": "answer-xx", "parent": "nowhere-1", "content": "Hi"}, 404, "no_such_conversation"),
    ("POST", "/messages", {"content": ""}, 422, "invalid_prompt"),
    ("POST", "/messages", {"content": "Hi", "answer": "short"}, 422, "invalid_prompt"),
    ("POST", "/messages", {"content": "Hi", "id": "same-id-1", "answer": "same-id-1"}, 422, "invalid_conversation"),
    ("POST", "/messages", {"content": "Hi", "settings": {"temperature": 9}}, 422, "invalid_prompt"),
    ("POST", "/messages", {"content": "Hi", "settings": {"model": "none:such"}}, 404, "unknown_model"),
    ("POST", "/messages", {"content": "Hi", "whatever": 1}, 422, "invalid_prompt"),
    ("POST", "/messages", {}, 422, "invalid_conversation"),
    ("POST", "/messages", [], 400, "bad_request"),
    ("PUT", "", {"settings": {"max_tokens": 0}}, 422, "invalid_prompt"),
    ("PATCH", "", {"title": "x"}, 404, "no_such_conversation"),
    ("GET", "", None, 404, "no_such_conversation"),
    ("DELETE", "", None, 404, "no_such_conversation"),
]


@pytest.mark.parametrize(("method", "rest", "body", "status", "code"), BAD)
async def test_what_cannot_be_is_refused(
    server: Headwater, method: str, rest: str, body: Any, status: int, code: str
) -> None:
    """As problem JSON, and leaves no conversation behind."""
    response = await server.client.request(method, at(CHAT, rest), json=body)
    listed = (await server.client.get("/api/conversations")).json()["conversations"]

    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert listed == []


async def test_what_no_conversation_can_have_is_refused(server: Headwater) -> None:
    """A parent that is not there or of the wrong kind, an id that is taken, a leaf that is none."""
    first = await say(server.client)
    wrong = [
        asked("Two", "nowhere-1"),
        asked("Two", first["parent"]),
        asked(None, first["id"]),
        asked("Two", first["id"]) | {"answer": first["parent"]},
        asked("Two", first["id"]) | {"id": first["id"]},
    ]
    responses = [await post(server.client, body) for body in wrong]
    leaf = await server.client.patch(at(), json={"leaf": "nowhere-1"})
    ill = await server.client.put(at("no"))

    assert [(response.status_code, response.json()["code"]) for response in (*responses, leaf, ill)] == [
        (422, "invalid_conversation")
    ] * 7
    assert len((await read(server.client))["messages"]) == 2


async def test_a_deleted_conversation_is_gone_with_its_logs(server: Headwater) -> None:
    """And with its cache entries: the same question is asked anew."""
    answer = await say(server.client)
    deleted = await server.client.delete(at())
    log = await server.client.get(answer["location"])
    again = await server.client.get(at())
    anew = (await post(server.client, asked())).json()
    await settled(server.client)

    assert (deleted.status_code, log.status_code, again.status_code) == (204, 410, 404)
    assert anew["answer"]["cache"] is None


async def test_deleting_while_an_answer_runs_ends_it() -> None:
    """Nothing of it comes back when its follower wakes up."""
    model = Scripted([TextDelta("Hel"), SILENCE])
    async with headwater(model, who=who) as server:
        await post(server.client, asked())
        await until(lambda: model.running, "the model runs")
        deleted = await server.client.delete(at())
        await until(lambda: not model.running, "the model was closed")
        gone = await server.client.get(at())
        listed = (await server.client.get("/api/conversations")).json()["conversations"]

    assert (deleted.status_code, gone.status_code, listed) == (204, 404, [])


async def test_conversations_are_their_subjects_own() -> None:
    """Others do not see, change, ask or delete; the same id is another conversation."""
    async with headwater(Scripted(ANSWER), who=who) as server:
        await say(server.client)
        bob = {"x-who": "bob"}
        seen = await server.client.get(at(), headers=bob)
        deleted = await server.client.delete(at(), headers=bob)
        own = await server.client.put(at(), headers=bob)
        listed = (await server.client.get("/api/conversations", headers=bob)).json()["conversations"]
        now = await read(server.client)

    assert (seen.status_code, deleted.status_code, own.status_code) == (404, 404, 201)
    assert (len(listed), listed[0]["title"]) == (1, "")
    assert len(now["messages"]) == 2


async def test_in_an_app_with_a_prefix() -> None:
    """The paths of logs are those of the app."""
    app = FastAPI()
    app.include_router(library.router("echo", store="memory:"), prefix="/llm")
    async with serving(app, lifespan=True) as client:
        taken = (await client.post("/llm" + at(CHAT, "/messages"), json=asked())).json()
        log = await client.get(taken["answer"]["location"])
        refused = await client.post("/llm" + at(), json={})
        described = (await client.get("/openapi.json")).json()
        image = {"name": "a.png", "type": "image/png", "data": "iVBORw0KGgo="}
        blind = await client.post("/llm" + at("conv-0002", "/messages"), json=asked(attachments=[image]))

    assert (blind.status_code, blind.json()["code"]) == (415, "unsupported_file")
    assert taken["answer"]["location"].startswith("/llm/api/streams/")
    assert log.status_code == 200
    assert (refused.status_code, refused.headers["allow"]) == (405, "DELETE, GET, HEAD, PATCH, PUT")
    assert "/llm/api/conversations/{id}/messages" in described["paths"]
