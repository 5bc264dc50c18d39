"""Conversations in the Python client: asked in, listed, found, changed, carried over."""

import asyncio

import pytest
from proxy import breakable
from reading import QUICK, quick
from serving import headwater

from headwater.client import Message, RequestError, SyncClient
from headwater.events import Finish, TextDelta
from headwater.models.scripted import SILENCE, Scripted

ANSWER = [TextDelta("Paris "), TextDelta("it is."), Finish("stop")]


def told(messages: list[Message]) -> list[str]:
    """What was asked and answered."""
    return [message.content or message.text for message in messages]


async def test_a_conversation_is_asked_in_and_read_again() -> None:
    """Each question follows the branch so far; another client reads all of it, without having asked."""
    model = Scripted(ANSWER)
    async with headwater(model) as server, quick(server.client.base_url) as client:
        chat = await client.conversations.create(settings={"system": "Be brief."})
        first = await chat.ask("What is the capital of France?")
        assert (await first.read()).text == "Paris it is."
        await (await chat.ask("And of France?", files={"notes.txt": b"Paris"})).read()
        asked = chat.content

        again = await client.conversations.get(chat.id)

        assert [message.id for message in again.content.branch] == [message.id for message in asked.branch]
        assert told(again.content.branch) == [
            "What is the capital of France?",
            "Paris it is.",
            "And of France?",
            "Paris it is.",
        ]
        answer = again.content.messages[1]
        assert (answer.state, answer.ending, answer.model) == ("finished", Finish("stop"), "scripted")
        assert [(each.name, each.type, each.size) for each in again.content.messages[2].attachments] == [
            ("notes.txt", "text/plain", 5)
        ]
        assert (again.content.title, again.content.settings) == (
            "What is the capital of France?",
            {"system": "Be brief."},
        )
        assert [message.role for message in model.prompts[1].messages] == ["system", "user", "assistant", "user"]


async def test_an_answer_and_a_question_get_alternatives() -> None:
    """An answer that is asked for once more, and a question that is asked otherwise, leave the old branch as it is."""
    async with headwater(Scripted(ANSWER)) as server, quick(server.client.base_url) as client:
        chat = await client.conversations.create()
        await (await chat.ask("France?")).read()
        question, answer = chat.content.messages

        again = await (await chat.regenerate()).read()
        assert again.cache_status == "headwater; fwd=request"
        await (await chat.ask("Spain?", parent=None)).read()

        await chat.refresh()
        assert told(chat.content.branch) == ["Spain?", "Paris it is."]
        parents = [(message.parent, message.role) for message in chat.content.messages]
        assert parents[:3] == [(None, "user"), (question.id, "assistant"), (question.id, "assistant")]
        assert chat.content.messages[1].id == answer.id
        with pytest.raises(RequestError, match="no such question"):
            await chat.regenerate("elsewhere")


async def test_one_answer_at_a_time() -> None:
    """A second question is refused while an answer is written, and taken once that is stopped."""
    async with headwater(Scripted([TextDelta("a"), SILENCE])) as server, quick(server.client.base_url) as client:
        chat = await client.conversations.create()
        answer = await chat.ask("One?")
        leaf = chat.content.leaf
        with pytest.raises(RequestError) as refused:
            await chat.ask("Two?")
        assert (refused.value.code, chat.content.leaf) == ("busy", leaf)
        await answer.stop()
        await (await chat.ask("Two?")).stop()
        assert len(chat.content.branch) == 4


async def test_conversations_are_listed_found_renamed_and_deleted() -> None:
    """The newest comes first, a page at a time."""
    async with headwater(Scripted(ANSWER)) as server, quick(server.client.base_url) as client:
        mine = client.conversations
        for country in ("France", "Spain", "Italy"):
            await (await (await mine.create()).ask(f"And {country}?")).read()
        page = await mine.list(limit=2)
        rest = await mine.list(after=page.next)
        assert [each.title for each in (*page.conversations, *rest.conversations)] == [
            "And Italy?",
            "And Spain?",
            "And France?",
        ]
        [spain] = (await mine.list("SPAIN and")).conversations
        assert spain.match is not None
        await mine.rename(spain.id, "Madrid")
        assert (await mine.get(spain.id)).content.title == "Madrid"
        await mine.delete(spain.id)
        await mine.delete(spain.id)
        assert len((await mine.list()).conversations) == 2
        with pytest.raises(RequestError, match="no conversation"):
            await mine.get(spain.id)


async def test_a_conversation_is_carried_to_another_server() -> None:
    """What is exported as JSON is imported with all its branches; Markdown is for reading."""
    async with headwater(Scripted(ANSWER)) as server, headwater(Scripted(ANSWER)) as other:
        async with quick(server.client.base_url) as client, quick(other.client.base_url) as elsewhere:
            chat = await client.conversations.create()
            await (await chat.ask("France?")).read()
            await (await chat.regenerate()).read()
            assert "Paris it is." in await client.conversations.export(chat.id, "markdown")

            [taken] = await elsewhere.conversations.import_(await client.conversations.export(chat.id))

            found = await elsewhere.conversations.get(taken.id)
            assert (len(found.content.messages), told(found.content.branch)) == (3, ["France?", "Paris it is."])


async def test_the_conversations_of_a_client_are_its_own() -> None:
    """Also where it makes its first ones at once. Another client sees none of them."""
    async with headwater(Scripted(ANSWER)) as server:
        async with quick(server.client.base_url) as client, quick(server.client.base_url) as stranger:
            chats = await asyncio.gather(*(client.conversations.create(title=f"Chat {i}") for i in range(5)))

            assert len((await client.conversations.list()).conversations) == 5
            assert (await stranger.conversations.list()).conversations == []
            with pytest.raises(RequestError, match="no conversation"):
                await stranger.conversations.get(chats[0].id)


async def test_a_conversation_is_shared() -> None:
    """Whoever has the link reads it without a key, until the link is revoked."""
    async with headwater(Scripted(ANSWER)) as server, quick(server.client.base_url) as client:
        chat = await client.conversations.create()
        await (await chat.ask("France?")).read()
        token = (await client.conversations.share(chat.id)).rpartition("=")[2]

        shown = await server.client.get(f"/api/shared/{token}")

        assert shown.json()["messages"][1]["text"] == "Paris it is."
        assert (await client.conversations.list()).conversations[0].shared == token
        await client.conversations.unshare(chat.id)
        assert (await server.client.get(f"/api/shared/{token}")).status_code == 404


async def test_a_question_whose_answer_was_lost_is_asked_once() -> None:
    """The client sends it again under the same ids, and reads the answer that the first attempt began."""
    model = Scripted(ANSWER)
    async with headwater(model) as server, breakable(server.client) as proxy, quick(proxy.url) as client:
        proxy.cuts = [100_000, 10]
        chat = await client.conversations.create()
        proxy.cut()
        answer = await (await chat.ask("France?")).read()
        await chat.refresh()
        assert (answer.text, len(model.prompts), len(chat.content.messages)) == ("Paris it is.", 1, 2)
        assert proxy.connections >= 3


async def test_a_plain_script_has_conversations() -> None:
    """The blocking client does the same, and its answers are read by a plain loop."""

    def script(url: str) -> list[str]:
        with SyncClient(url, patience=QUICK) as client:
            chat = client.conversations.create(title="France")
            for _ in chat.ask("France?"):
                pass
            chat.regenerate().read()
            chat.refresh()
            [found] = client.conversations.list("paris").conversations
            assert client.conversations.get(found.id).id == chat.id
            return [found.title, *told(chat.content.branch)]

    async with headwater(Scripted(ANSWER)) as server:
        got = await asyncio.to_thread(script, str(server.client.base_url))
    assert got == ["France", "France?", "Paris it is."]
