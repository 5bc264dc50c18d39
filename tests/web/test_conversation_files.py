"""What goes in and out of conversations as files: attachments, exports, imports; search, and the cache's figures."""

import base64
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from conversing import CHAT, asked, at, node, post, read, say, settled, who
from serving import Headwater, headwater

from headwater.conversations.files import TEXT_BYTES, shown
from headwater.conversations.nodes import Attached
from headwater.events import Finish, TextDelta
from headwater.models.scripted import Scripted
from headwater.prompt import Image, Text

PIXEL = b"\x89PNG\r\n\x1a\n rest"
ANSWER = [TextDelta("Rivers are wide, and lakes are deep."), Finish("stop")]


def file(name: str, data: bytes, type: str = "") -> dict[str, str]:
    return {"name": name, "type": type, "data": base64.b64encode(data).decode()}


@pytest.fixture
async def server() -> AsyncGenerator[Headwater, None]:
    """A server whose model speaks of rivers."""
    async with headwater(Scripted(ANSWER), who=who) as server:
        yield server


async def test_files_go_to_the_model_and_stay() -> None:
    """An image as an image, a text as a fenced text under its name; later questions show both again."""
    model = Scripted(ANSWER)
    sent = [
        file("a/cat.png", PIXEL, "image/png"),
        file("notes.md", "Äpfel\n```\ncode\n```\n".encode(), "text/markdown"),
    ]
    async with headwater(model, who=who) as server:
        first = await say(server.client, "What is it?", attachments=sent)
        second = await say(server.client, "And now?", first["id"])
        await say(server.client, "", second["id"], attachments=sent[:1])
        question = (await read(server.client))["messages"][0]
        image, text = [
            await server.client.get(at(CHAT, f"/attachments/{each['id']}")) for each in question["attachments"]
        ]
        none = await server.client.get(at(CHAT, "/attachments/nothing-1"))

    told = [
        Image(data=sent[0]["data"], media_type="image/png"),
        Text("notes.md\n````\nÄpfel\n```\ncode\n```\n````\n\n"),
    ]
    assert [prompt.messages[0].content for prompt in model.prompts] == [[*told, Text("What is it?")]] * 3
    assert model.prompts[-1].messages[-1].content == told[:1]
    assert [(each["name"], each["type"]) for each in question["attachments"]] == [
        ("a cat.png", "image/png"),
        ("notes.md", "text/markdown"),
    ]
    assert (image.content, image.headers["content-type"]) == (PIXEL, "image/png")
    assert image.headers["x-content-type-options"] == "nosniff"
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert text.headers["content-disposition"] == "attachment; filename*=UTF-8''notes.md"
    assert none.status_code == 404


@pytest.mark.parametrize(
    ("files", "status", "code"),
    [
        ([file("a.pdf", b"%PDF\0\xff")], 415, "unsupported_file"),
        ([file("a.png", b"no image", "image/png")], 415, "unsupported_file"),
        ([{"name": "a.txt", "data": "not base64!"}], 415, "unsupported_file"),
        ([file("a.txt", b"x" * 600_000)], 413, "file_too_large"),
        ([file("a.txt", b"x")] * 11, 413, "file_too_large"),
        ([{"name": "a.txt"}], 422, "invalid_prompt"),
    ],
    ids=["kind", "false image", "base64", "size", "number", "no data"],
)
async def test_files_that_are_not_taken(server: Headwater, files: list[Any], status: int, code: str) -> None:
    """The refusal names the file and the limit, and nothing is kept."""
    response = await post(server.client, asked(attachments=files))

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert (await server.client.get(at())).status_code == 404


def test_a_file_of_empty_lines_is_shown_in_no_time() -> None:
    """Its fence is found on the event loop, where everybody waits for it."""
    lines = "\n" * TEXT_BYTES
    part = shown(Attached("f", "a.txt", "text/plain", TEXT_BYTES), lines.encode())

    assert part == Text(f"a.txt\n```\n{lines}```\n\n")


async def test_an_exported_conversation_comes_back_as_it_was(server: Headwater) -> None:
    """With every branch and file; under a new id where its own is taken, and as it was on a server without it."""
    first = await say(server.client, "What is a river?", attachments=[file("a.txt", b"abc")])
    await say(server.client, None, first["parent"])
    await say(server.client, "And a lake?", first["id"])
    before = await read(server.client)
    exported = await server.client.get(at(CHAT, "/export"), params={"format": "json"})
    twice = await server.client.post("/api/conversations/import", json={"conversations": [exported.json()] * 2})
    await server.client.delete(at())
    again = await server.client.post("/api/conversations/import", content=exported.content)
    after = await read(server.client)
    restored = await server.client.get(at(CHAT, f"/attachments/{after['messages'][0]['attachments'][0]['id']}"))

    def told(conversation: dict[str, Any]) -> list[dict[str, Any]]:
        return [message | {"location": None} for message in conversation["messages"]]

    copies = [line["id"] for line in twice.json()["conversations"]]
    assert exported.headers["content-disposition"] == "attachment; filename*=UTF-8''What%20is%20a%20river.json"
    assert (twice.status_code, again.status_code, len({CHAT, *copies})) == (201, 201, 3)
    assert told(after) == told(before)
    assert (after["title"], after["leaf"]) == (before["title"], before["leaf"])
    assert restored.content == b"abc"
    assert await say(server.client, "Go on", after["leaf"])


async def test_the_markdown_has_the_branch_that_is_shown(server: Headwater) -> None:
    """With its title, and who said what."""
    first = await say(server.client, "What is a river?")
    await say(server.client, "What is a lake?")
    await server.client.patch(at(), json={"leaf": first["id"], "title": "Water: still/running"})
    exported = await server.client.get(at(CHAT, "/export"))
    wrong = await server.client.get(at(CHAT, "/export"), params={"format": "pdf"})

    assert exported.text == (
        "# Water: still/running\n\n## You\n\nWhat is a river?\n\n## Answer\n\nRivers are wide, and lakes are deep.\n"
    )
    assert exported.headers["content-type"] == "text/markdown; charset=utf-8"
    assert exported.headers["content-disposition"] == "attachment; filename*=UTF-8''Water%20%20still%20running.md"
    assert wrong.status_code == 400


TIME = "2026-11-28T10:00:00.000Z"


def question(id: str, parent: str | None, **fields: Any) -> dict[str, Any]:
    return {"role": "user", "id": id, "parent": parent, "created_at": TIME, "content": "Hi", **fields}


def answer(id: str, parent: str | None, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "id": id, "parent": parent, "created_at": TIME, "state": "finished", **fields}


HOSTILE: list[tuple[str, Any, int]] = [
    ("a parent that is not there", [question("question-1", "nowhere-1")], 422),
    ("an answer without a question", [answer("answer-001", None)], 422),
    ("a question after a question", [question("question-1", None), question("question-2", "question-1")], 422),
    ("a circle", [question("question-1", "answer-001"), answer("answer-001", "question-1")], 422),
    ("one id twice", [question("question-1", None), question("question-1", None)], 422),
    ("an id that is none", [question("../../x", None)], 422),
    ("no time", [question("question-1", None, created_at="yesterday")], 422),
    ("a time that is too late", [question("question-1", None, created_at="9999-12-31T23:59:59-23:59")], 422),
    ("a text that is a number", [question("question-1", None, content=7)], 422),
    ("a file that is none", [question("question-1", None, attachments=[file("a", b"\0")])], 415),
    ("an unknown role", [question("question-1", None) | {"role": "system"}], 422),
    ("no list", {"role": "user"}, 422),
    ("nothing", None, 422),
]


@pytest.mark.parametrize(("what", "messages", "status"), HOSTILE, ids=[each[0] for each in HOSTILE])
async def test_a_file_that_is_no_conversation_is_refused(
    server: Headwater, what: str, messages: Any, status: int
) -> None:
    """And nothing of it is kept."""
    sent = {"id": CHAT, "messages": messages}
    response = await server.client.post("/api/conversations/import", json={"conversations": [sent]})

    assert response.status_code == status, (what, response.text)
    assert response.headers["content-type"] == "application/problem+json"
    assert (await server.client.get("/api/conversations")).json()["conversations"] == []


async def test_of_several_conversations_all_are_taken_or_none(server: Headwater) -> None:
    """Settings that nothing can be asked with are a fault of the whole file, which is sent again once it is mended."""
    turns = [question("question-1", None), answer("answer-001", "question-1")]
    good = {"id": CHAT, "messages": turns, "settings": {"model": "of-another-server"}}
    both = [good, good | {"settings": {"temperature": 7}}]
    response = await server.client.post("/api/conversations/import", json={"conversations": both})

    assert (response.status_code, response.json()["code"]) == (422, "invalid_prompt")
    assert (await server.client.get("/api/conversations")).json()["conversations"] == []
    assert (await server.client.post("/api/conversations/import", json=good)).status_code == 201


async def test_a_deep_or_long_file_is_refused_or_taken_in_time(server: Headwater) -> None:
    """Nesting beyond measure is refused; thousands of turns in one branch are taken."""
    deep = b'{"messages":[{"metadata":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}]}"
    nested = await server.client.post("/api/conversations/import", content=deep)
    turns: list[dict[str, Any]] = []
    for number in range(1500):
        turns.append(question(f"question-{number}", f"answer-{number - 1:04d}" if number else None))
        turns.append(answer(f"answer-{number:04d}", f"question-{number}", text="x" * 200))
    long = await server.client.post("/api/conversations/import", json={"id": CHAT, "messages": turns})
    open_one = [question("question-1", None), answer("answer-001", "question-1", state="open", text="Hal")]
    cut = await server.client.post("/api/conversations/import", json={"id": "conv-0002", "messages": open_one})
    now = await read(server.client, "conv-0002")

    assert (nested.status_code, long.status_code, cut.status_code) == (400, 201, 201)
    assert len((await read(server.client))["messages"]) == 3000
    assert (node(now, "answer-001")["state"], node(now, "answer-001")["text"]) == ("lost", "Hal")


async def test_a_search_finds_titles_questions_and_answers(server: Headwater) -> None:
    """All words, in any case, in any message of a conversation; an excerpt shows where."""
    await say(server.client, "Tell me of Amazonas " + "and more " * 50 + "of the Ödland", chat="conv-0001")
    await say(server.client, "Something else", chat="conv-0002")
    await server.client.patch(at("conv-0002"), json={"title": "Volcanoes"})

    async def search(words: str) -> dict[str, Any]:
        return (await server.client.get("/api/conversations", params={"q": words})).json()

    both, title, far, mixed, none, empty = [
        await search(words) for words in ("WIDE deep", "volcano", "ödland", "amazonas lakes", "nothing", " ")
    ]

    assert [line["id"] for line in both["conversations"]] == ["conv-0002", "conv-0001"]
    assert both["conversations"][0]["match"]["text"] == "Rivers are wide, and lakes are deep."
    assert title["conversations"][0]["match"] == {"message": None, "text": "Volcanoes"}
    assert far["conversations"][0]["match"]["text"].startswith("…")
    assert "Ödland" in far["conversations"][0]["match"]["text"]
    assert [line["id"] for line in mixed["conversations"]] == ["conv-0001"]
    assert (none["conversations"], empty["conversations"], none["complete"]) == ([], [], True)


async def test_clearing_the_cache_forgets_the_own_answers_and_keeps_the_conversations(server: Headwater) -> None:
    """The same question is asked anew afterwards."""
    await say(server.client)
    before = (await server.client.get("/api/cache")).json()
    cleared = await server.client.delete("/api/cache")
    after = (await server.client.get("/api/cache")).json()
    anew = (await post(server.client, asked(), "conv-0002")).json()
    await settled(server.client, "conv-0002")

    assert (before["entries"], cleared.status_code, after["entries"]) == (1, 204, 0)
    assert anew["answer"]["cache"] is None
    assert (await read(server.client))["messages"][1]["text"]
