"""With form matching, an answer also serves other wordings of its question; without, only the same prompt."""

import asyncio
from typing import Any, ClassVar

import pytest
from conversing import asked, at, post, settled
from fastapi import FastAPI
from httpx import AsyncClient, Response
from serving import chat, frames, headwater, parse, serving, text_of
from starlette.requests import Request

from headwater import router
from headwater.answers.claim import Caching
from headwater.cache.policy import Stale
from headwater.events import Finish, TextDelta, Usage
from headwater.log.memory import MemoryStore
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Claim
from headwater.models.scripted import Scripted
from headwater.offsets import TAG
from headwater.principal import Principal

CHAT = "/api/stream/completion/chat"
ANSWER = [TextDelta("Paris"), Finish("stop", Usage(3, 2))]
FORM = Caching(secret=b"secret", match="form")
ASKED, AGAIN = "What's the capital of France?", "hi, what is the capital of france"


async def ask(client: AsyncClient, question: str, cache_control: str = "", **fields: Any) -> Response:
    before = fields.pop("before", [])
    body = {"messages": [*before, {"role": "user", "content": question}], **fields}
    answer = await client.post(CHAT, json=body, headers={"Cache-Control": cache_control} if cache_control else {})
    assert answer.status_code == 200, answer.text
    return answer


async def test_another_wording_is_a_hit_that_says_so() -> None:
    """`Cache-Status` says that the form was matched, and `start` which question; nobody else is told it."""
    model = Scripted(ANSWER)
    async with headwater(model, caching=FORM) as server:
        first, same, other = [await ask(server.client, question) for question in (ASKED, ASKED, AGAIN)]
        later = await server.client.get(other.headers["location"])

    assert len(model.prompts) == 1
    assert [text_of(parse(each.content)) for each in (first, same, other)] == ["Paris"] * 3
    assert first.headers["cache-status"] == "headwater; fwd=miss"
    assert same.headers["cache-status"].startswith("headwater; hit; ttl=3")
    assert "detail" not in same.headers["cache-status"]
    assert other.headers["cache-status"].startswith("headwater; hit; ttl=3")
    assert other.headers["cache-status"].endswith("; detail=form")
    assert parse(other.content)[0]["cache"]["matched"] == ASKED
    assert all(ASKED not in each.text for each in (first, same, later))


async def test_a_conversation_keeps_which_question_was_matched() -> None:
    """Of a stored answer at once, of a running one when it has ended; an answer to its own words says nothing."""
    gate = asyncio.Event()
    async with headwater(Scripted([gate, *ANSWER]), caching=FORM) as server:
        await post(server.client, asked(ASKED), "first-chat")
        await post(server.client, asked(AGAIN), "joined-chat")
        gate.set()
        own, joined = [(await settled(server.client, f"{chat}-chat"))["messages"][1] for chat in ("first", "joined")]
        hit = (await post(server.client, asked(AGAIN), "hit-chat")).json()["answer"]

    assert [each["cache"] for each in (own, joined, hit)] == [None, "collapsed", "hit"]
    assert [each["matched"] for each in (own, joined, hit)] == [None, ASKED, ASKED]


async def test_a_shared_conversation_does_not_tell_which_question_was_matched() -> None:
    """Whoever has the link is no user of the tenant."""
    async with headwater(Scripted(ANSWER), caching=FORM) as server:
        await ask(server.client, ASKED)
        hit = (await post(server.client, asked(AGAIN))).json()["answer"]
        token = (await server.client.post(at(rest="/share"))).json()["token"]
        shown = await server.client.get(f"/api/shared/{token}")

    assert hit["matched"] == ASKED
    assert AGAIN in shown.text
    assert ASKED not in shown.text


async def test_a_stale_answer_to_other_words_says_that_it_is_stale() -> None:
    """`Cache-Status` has one `detail`; `start` tells the matched question in any case."""
    now, caching = [1000.0], Caching(100, b"secret", Stale(accepted=60), match="form")
    async with headwater(Scripted(ANSWER), MemoryStore(clock=lambda: now[0]), caching=caching) as server:
        await ask(server.client, ASKED)
        now[0] += 130
        other = await ask(server.client, AGAIN)

    assert other.headers["cache-status"] == "headwater; hit; ttl=-30; detail=stale"
    assert parse(other.content)[0]["cache"]["matched"] == ASKED


async def test_another_wording_joins_a_running_answer() -> None:
    """Its reader is told the question too."""
    gate = asyncio.Event()
    async with headwater(Scripted([gate, *ANSWER]), caching=FORM) as server:
        async with (
            server.client.stream("POST", CHAT, json=chat(ASKED)),
            server.client.stream("POST", CHAT, json=chat(AGAIN)) as second,
        ):
            assert second.headers["cache-status"] == "headwater; fwd=miss; collapsed; detail=form"
            assert (await anext(frames(second)))["cache"] == {"status": "joined", "matched": ASKED}
            gate.set()


@pytest.mark.parametrize(
    ("question", "fields"),
    [
        ("What's the capital of Finland?", {}),
        (AGAIN, {"temperature": 0.5}),
        (AGAIN, {"before": [{"role": "system", "content": "Be brief."}]}),
        (AGAIN, {"before": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi!"}]}),
        (AGAIN, {"cache_control": "match=exact"}),
        (AGAIN, {"cache_control": "no-cache"}),
        (AGAIN, {"cache_control": "max-age=0"}),
    ],
)
async def test_everything_else_of_the_prompt_is_exact(question: str, fields: dict[str, Any]) -> None:
    """Another question, parameter, system prompt or history is another prompt; a request may ask for the exact one."""
    model = Scripted(ANSWER)
    async with headwater(model, caching=FORM) as server:
        await ask(server.client, ASKED)
        assert "hit" not in (await ask(server.client, question, **fields)).headers["cache-status"]
    assert len(model.prompts) == 2


async def test_exact_is_the_default() -> None:
    """A server that is not told to match by form does not, and keeps no question with its answers."""
    model = Scripted(ANSWER)
    async with headwater(model) as server:
        assert [(await ask(server.client, each)).headers["cache-status"] for each in (ASKED, AGAIN)] == [
            "headwater; fwd=miss"
        ] * 2


async def test_a_router_matches_as_its_app_says() -> None:
    """Beside another one that does not."""
    app, store = FastAPI(), MemoryStore()
    app.include_router(router("echo", store=store, match="form"), prefix="/alike")
    app.include_router(router("echo", store=store), prefix="/exact")
    async with serving(app) as client:
        told = {
            prefix: [await client.post(f"{prefix}{CHAT}", json=chat(question)) for question in (ASKED, AGAIN)]
            for prefix in ("/alike", "/exact")
        }
    assert told["/alike"][1].headers["cache-status"].endswith("; detail=form")
    assert told["/exact"][1].headers["cache-status"] == "headwater; fwd=miss"


async def test_a_form_belongs_to_its_tenant() -> None:
    """Another tenant gets neither the answer nor the question; another subject of the tenant gets both."""

    def who(request: Request) -> Principal:
        return Principal(*request.headers["x-who"].split("/"))

    model = Scripted(ANSWER)
    async with headwater(model, caching=FORM, who=who) as server:
        told: dict[str, str] = {}
        for name in ("acme/ann", "globex/ann", "acme/bob"):
            server.client.headers["x-who"] = name
            told[name] = (await ask(server.client, ASKED if name == "acme/ann" else AGAIN)).text

    assert len(model.prompts) == 2
    assert ASKED not in told["globex/ann"]
    assert ASKED in told["acme/bob"]


async def test_a_new_answer_serves_all_wordings(tmp_path: Any) -> None:
    """Whoever asks for a new answer replaces the one that other wordings get; to delete it frees them all."""
    model, store = Scripted(ANSWER), SqliteStore(tmp_path / "logs")
    async with headwater(model, store, caching=FORM) as server:
        first = await log_of(server.client, ASKED)
        new = await log_of(server.client, AGAIN, "no-cache")
        assert new != first
        found = await ask(server.client, "What is the capital of France")
        assert found.headers["location"].startswith(f"/api/streams/{new}~")
        assert (await server.client.delete(found.headers["location"])).status_code == 204
        assert await log_of(server.client, AGAIN) not in (first, new)
    await store.aclose()
    assert len(model.prompts) == 3


async def test_both_keys_and_their_log_lie_in_one_slot() -> None:
    """A Redis cluster keeps together what begins alike; the exact key says the rest of the prompt too."""

    class Seen(MemoryStore):
        claims: ClassVar[list[tuple[list[str], str]]] = []

        async def claim(self, name: str, log: str, *args: Any, **terms: Any) -> Claim:
            self.claims.append((name.split("\n"), log))
            return await super().claim(name, log, *args, **terms)

    async with headwater(Scripted(ANSWER), Seen(), caching=FORM) as server:
        for wording in (ASKED, AGAIN):
            await ask(server.client, wording)

    (first, log), (again, _) = Seen.claims
    assert len({each[:TAG] for each in (*first, *again, log)}) == 1
    assert first[1] == again[1]
    assert len({first[0], again[0], first[1]}) == 3


async def log_of(client: AsyncClient, question: str, cache_control: str = "") -> str:
    """The log that answers."""
    location = (await ask(client, question, cache_control)).headers["location"]
    return location.rpartition("/")[2].partition("~")[0]
