"""Conversations over HTTP: made by asking, read by anybody who is the same subject, and never losing a message."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path

import pytest
from conversing import CHAT, asked, at, node, post, read, say, settled, who
from redis_servers import Server, engines
from serving import Headwater, headwater, parse, text_of, until

from headwater.errors import ModelError
from headwater.events import Finish, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart, Usage
from headwater.log.memory import MemoryStore
from headwater.log.redis.store import RedisStore
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Store
from headwater.models.scripted import SILENCE, Scripted
from headwater.prompt import Message

ANSWER = [TextDelta("Hel"), TextDelta("lo"), Finish("stop", Usage(3, 2))]


@pytest.fixture
async def server() -> AsyncGenerator[Headwater, None]:
    """A server whose model says Hello."""
    async with headwater(Scripted(ANSWER), who=who) as server:
        yield server


def waiting() -> tuple[Scripted, asyncio.Event]:
    """A model that says one word and waits until it is let go on."""
    gate = asyncio.Event()
    return Scripted([TextDelta("Hel"), gate, TextDelta("lo"), Finish("stop")]), gate


@pytest.fixture(params=["sqlite", "valkey"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """What opens one store for several servers."""
    if request.param == "sqlite":
        yield lambda: SqliteStore(tmp_path / "logs")
        return
    engine = Server(engines()[0], tmp_path)
    engine.start()
    yield lambda: RedisStore(engine.url)
    for_ever = engine.keys_without_ttl()
    engine.kill()
    assert for_ever == []


# ---- asking and reading


async def test_a_question_makes_the_conversation_and_its_answer_stays(server: Headwater) -> None:
    """With all that its log had, in the form of the state of a stream."""
    body = asked("**What** is a river? Tell me all.")
    taken = (await post(server.client, body)).json()
    streamed = await server.client.get(taken["answer"]["location"])
    state = (await server.client.get(taken["answer"]["location"], headers={"accept": "application/json"})).json()
    now = await settled(server.client)
    question, answer = now["messages"]

    assert taken["answer"]["state"] == "open"
    assert taken["conversation"]["live"] == body["answer"]
    assert text_of(parse(streamed.content)) == "Hello"
    assert (question["id"], question["content"], question["parent"]) == (body["id"], body["content"], None)
    assert (answer["id"], answer["parent"], answer["state"]) == (body["answer"], body["id"], "finished")
    for name in ("text", "reasoning", "tools", "metadata", "ending", "usage", "timing", "model", "continued"):
        assert answer[name] == state[name], name
    assert (now["title"], now["leaf"], now["live"]) == ("What is a river?", body["answer"], None)


async def test_everything_a_model_sent_is_kept() -> None:
    """Reasoning and tool calls as well as text."""
    steps = [
        ReasoningDelta("Hm."),
        ToolCallStart("c1", "look"),
        ToolCallDelta("c1", "{}"),
        ToolCallEnd("c1"),
        TextDelta("4 °C"),
        Finish("tool-calls"),
    ]
    async with headwater(Scripted(steps), who=who) as server:
        answer = await say(server.client)

    assert (answer["reasoning"], answer["text"]) == ("Hm.", "4 °C")
    assert answer["tools"] == [{"id": "c1", "name": "look", "arguments": "{}", "complete": True, "output": None}]


async def test_the_same_post_again_is_the_same_question(server: Headwater) -> None:
    """A client that did not get the response sends it once more, then or later: nothing is asked twice."""
    body = asked()
    first, second = await asyncio.gather(post(server.client, body), post(server.client, body))
    before = await settled(server.client)
    third = await post(server.client, body)
    after = await read(server.client)

    assert [first.status_code, second.status_code, third.status_code] == [202] * 3
    assert third.json()["answer"]["text"] == "Hello"
    assert first.json()["question"] == second.json()["question"] == third.json()["question"]
    assert after == before
    assert len(after["messages"]) == 2


async def test_the_model_gets_the_branch_and_the_settings() -> None:
    """The system prompt, then the turns from the root to the question; other branches are left out."""
    model = Scripted(ANSWER)
    async with headwater(model, who=who) as server:
        first = await say(server.client, "One", settings={"system": "Be brief.", "temperature": 0.5, "max_tokens": 9})
        await say(server.client, "Two", first["id"])
        await say(server.client, "Another two", first["id"])

    prompt = model.prompts[-1]
    assert prompt.messages == [
        Message("system", "Be brief."),
        Message("user", "One"),
        Message("assistant", "Hello"),
        Message("user", "Another two"),
    ]
    assert (prompt.parameters.temperature, prompt.parameters.max_tokens) == (0.5, 9)


async def test_a_part_of_an_answer_is_told_to_the_model_and_an_empty_one_is_not() -> None:
    """The person has read the part, and asks about it."""
    model = Scripted([TextDelta("Par"), ModelError("it broke")])
    silent = Scripted([ModelError("it broke")])
    async with headwater(model, who=who) as server:
        first = await say(server.client, "One")
        await say(server.client, "Two", first["id"])
    async with headwater(silent, who=who) as server:
        empty = await say(server.client, "One")
        await say(server.client, "Two", empty["id"])

    assert (first["state"], first["text"], first["ending"]["type"]) == ("failed", "Par", "error")
    assert [message.content for message in model.prompts[-1].messages] == ["One", "Par", "Two"]
    assert (empty["state"], empty["text"]) == ("failed", "")
    assert [message.content for message in silent.prompts[-1].messages] == ["One", "Two"]


async def test_another_answer_is_a_sibling_and_does_not_come_from_the_cache() -> None:
    """The old one stays."""
    model = Scripted(ANSWER)
    async with headwater(model, who=who) as server:
        first = await say(server.client)
        again = await say(server.client, None, first["parent"])
        now = await read(server.client)

    assert (again["parent"], again["cache"]) == (first["parent"], None)
    assert len(model.prompts) == 2
    assert [message["id"] for message in now["messages"]] == [first["parent"], first["id"], again["id"]]
    assert now["leaf"] == again["id"]


async def test_the_same_ids_in_two_conversations_are_two_questions() -> None:
    """A client may number the messages of each conversation; past the cache, each question gets its own answer."""
    model, body = Scripted(ANSWER), asked()
    async with headwater(model, who=who) as server:
        for chat in (CHAT, "conv-0002"):
            past = {"cache-control": "no-cache"}
            response = await server.client.post(at(chat, "/messages"), json=body, headers=past)
            assert response.json()["answer"]["cache"] is None
            await settled(server.client, chat)

    assert len(model.prompts) == 2


async def test_an_edited_question_is_a_sibling_too(server: Headwater) -> None:
    """Also the first of a conversation, which has no parent."""
    first = await say(server.client, "One")
    edited = await say(server.client, "One, in other words")
    now = await read(server.client)

    assert len(now["messages"]) == 4
    assert [node(now, each["parent"])["parent"] for each in (first, edited)] == [None, None]
    assert now["title"] == "One"


async def test_a_question_that_follows_goes_to_the_end_of_its_branch(server: Headwater) -> None:
    """A device that has not seen the newest turns makes no branch; where another branch is shown, it does."""
    first = await say(server.client, "One")
    second = await say(server.client, "Two", first["id"])
    third = await say(server.client, "Three", first["id"], follows=True)
    now = await read(server.client)
    assert node(now, third["parent"])["parent"] == second["id"]

    await say(server.client, "One, in other words")
    fourth = await say(server.client, "Four", third["id"], follows=True)
    now = await read(server.client)
    assert node(now, fourth["parent"])["parent"] == third["id"]


async def test_the_rest_of_an_answer_is_asked_for() -> None:
    """By a question of its own kind, whose words are the server's."""
    model = Scripted([TextDelta("Hel"), Finish("length")])
    async with headwater(model, who=who) as server:
        first = await say(server.client)
        body = asked(None, first["id"], id="question-rest", kind="continue")
        response = await post(server.client, body)
        now = await settled(server.client)

    assert response.status_code == 202
    assert node(now, "question-rest")["kind"] == "continue"
    assert [message.role for message in model.prompts[-1].messages] == ["user", "assistant", "user"]
    assert "exactly where it stopped" in str(model.prompts[-1].messages[-1].content)


async def test_an_answer_from_the_cache_is_whole_at_once_and_counted(server: Headwater) -> None:
    """It says when it was written and what it has saved."""
    first = await say(server.client)
    taken = (await post(server.client, asked(), "conv-0002")).json()
    figures = (await server.client.get("/api/cache")).json()

    answer = taken["answer"]
    assert (answer["state"], answer["text"], answer["cache"]) == ("finished", "Hello", "hit")
    assert (taken["conversation"]["live"], answer["saved"]["tokens"]) == (None, 5)
    assert answer["saved"]["seconds"] == first["timing"]["duration"]
    assert answer["produced_at"] <= answer["created_at"]
    assert {name: figures[name] for name in ("answers", "hits", "joins", "entries")} == {
        "answers": 2,
        "hits": 1,
        "joins": 0,
        "entries": 1,
    }


async def test_a_joined_answer_says_so() -> None:
    """Two conversations read one log."""
    model, gate = waiting()
    async with headwater(model, who=who) as server:
        first, second = [(await post(server.client, asked(), chat)).json() for chat in (CHAT, "conv-0002")]
        gate.set()
        await settled(server.client)
        joined = await settled(server.client, "conv-0002")

    assert (first["answer"]["cache"], second["answer"]["cache"]) == (None, "collapsed")
    assert joined["messages"][1]["text"] == "Hello"
    assert len(model.prompts) == 1


async def test_the_answer_comes_as_a_stream_if_that_is_asked_for(server: Headwater) -> None:
    """As the chat route has it; a client that lost it goes on after its last event."""
    headers = {"accept": "text/event-stream"}
    body = asked()
    response = await server.client.post(at(CHAT, "/messages"), json=body, headers=headers)
    events = parse(response.content)
    resumed = await server.client.post(
        at(CHAT, "/messages"), json=body, headers={**headers, "last-event-id": events[1].id or ""}
    )

    assert (response.status_code, text_of(events)) == (200, "Hello")
    assert response.headers["location"].startswith("/api/streams/")
    assert text_of(parse(resumed.content)) == "lo"


# ---- one answer at a time


async def test_of_two_questions_at_once_one_is_refused_and_says_why() -> None:
    """With the answer that is being written; after its end the other one is taken, and nothing is lost."""
    model, gate = waiting()
    async with headwater(model, who=who) as server:
        first, second = asked("One"), asked("Two")
        responses = await asyncio.gather(post(server.client, first), post(server.client, second))
        refused = next(response for response in responses if response.status_code == 409)
        taken = next(response for response in responses if response.status_code == 202)
        late = second if taken.json()["question"]["id"] == first["id"] else first
        again = await post(server.client, late)
        gate.set()
        await settled(server.client)
        later = await post(server.client, late)
        now = await settled(server.client)

    assert sorted(response.status_code for response in responses) == [202, 409]
    assert (refused.json()["code"], refused.json()["answer"]) == ("busy", taken.json()["answer"]["id"])
    assert again.json()["location"] == taken.json()["answer"]["location"]
    assert (later.status_code, len(now["messages"])) == (202, 4)
    assert {message["content"] for message in now["messages"] if message["role"] == "user"} == {"One", "Two"}


async def test_many_questions_at_once_over_two_servers_lose_nothing(opened: Callable[[], Store]) -> None:
    """Each that is taken is there with its answer, each that is refused left no trace."""
    async with (
        headwater(Scripted(ANSWER), opened(), who=who) as one,
        headwater(Scripted(ANSWER), opened(), who=who) as two,
    ):
        bodies = [asked(f"Question {number}") for number in range(12)]
        responses = await asyncio.gather(
            *(post((one, two)[number % 2].client, body) for number, body in enumerate(bodies))
        )
        now = await settled(one.client)

    taken = {response.json()["answer"]["id"] for response in responses if response.status_code == 202}
    assert {response.status_code for response in responses} <= {202, 409}
    assert taken
    answers = {message["id"]: message for message in now["messages"] if message["role"] == "assistant"}
    assert set(answers) == taken
    assert {answer["text"] for answer in answers.values()} == {"Hello"}
    assert len(now["messages"]) == 2 * len(taken)


async def test_a_stopped_answer_keeps_its_part_and_does_not_block() -> None:
    """Stopped on the server, by the path that the answer has."""
    model = Scripted([TextDelta("Hel"), SILENCE])
    async with headwater(model, who=who) as server:
        taken = (await post(server.client, asked())).json()
        await until(lambda: model.running, "the model runs")
        stopped = await server.client.post(taken["answer"]["location"] + "/stop")
        body = asked("Two", taken["answer"]["id"])
        next_one = await post(server.client, body)
        await server.client.post(next_one.json()["answer"]["location"] + "/stop")
        now = await settled(server.client)

    assert (stopped.status_code, next_one.status_code) == (200, 202)
    answer = node(now, taken["answer"]["id"])
    assert (answer["state"], answer["ending"]["type"]) == ("stopped", "stop")


# ---- settled by whoever is there


async def test_an_answer_whose_server_is_gone_is_settled_by_another(opened: Callable[[], Store]) -> None:
    """It is `lost` with the part that was stored, never empty and never open for ever."""
    model = Scripted([TextDelta("Hel"), SILENCE])
    async with headwater(model, opened(), who=who) as one:
        body = asked()
        taken = (await post(one.client, body)).json()
        await until(lambda: model.running, "the model runs")
        async with headwater(Scripted(ANSWER), opened(), who=who) as two:
            elsewhere = await read(two.client)
            await one.answers.aclose()
            now = await settled(two.client)
            listed = (await two.client.get("/api/conversations")).json()["conversations"]

    assert (elsewhere["live"], node(elsewhere, body["answer"])["location"]) == (
        body["answer"],
        taken["answer"]["location"],
    )
    answer = node(now, body["answer"])
    assert (answer["text"], answer["ending"]["type"]) == ("Hel", "error")
    assert [line["live"] for line in listed] == [None]


async def test_a_long_conversation_is_kept_and_told_whole() -> None:
    """Hundreds of turns, some larger than a document: all come back, and the model gets them."""
    model = Scripted([TextDelta("ö" * 3000), Finish("stop")])
    large = Scripted([TextDelta("x" * 600_000)] * 2 + [Finish("stop")])
    store = MemoryStore()
    async with headwater(model, store, who=who) as server:
        parent = None
        for number in range(60):
            parent = (await say(server.client, f"Question {number} " + "y" * 2000, parent))["id"]
        now = await read(server.client)
    async with headwater(large, who=who) as server:
        answer = await say(server.client)

    assert len(now["messages"]) == 120
    assert len(model.prompts[-1].messages) == 119
    assert len(answer["text"]) == 1_200_000


@pytest.mark.parametrize("limit", ["0", "201", "-1", "ten", "1.5", "0000001009999", "000000100" + "0" * 5000])
async def test_a_limit_that_no_page_has_is_refused(server: Headwater, limit: str) -> None:
    """However long it is written."""
    refused = await server.client.get("/api/conversations", params={"limit": limit})
    largest = await server.client.get("/api/conversations?limit=200")

    assert (refused.status_code, refused.json()["code"], largest.status_code) == (400, "bad_request", 200)
