"""An operator binds an answer to a question, and every server and dialect gives it in place of a model's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import chat, headwater, parse, post_chat, text_of
from starlette.requests import Request

from headwater.access.keyfile import KeyFile, Keys
from headwater.access.keys import parse as keys_in
from headwater.answers import pins
from headwater.answers.claim import Caching
from headwater.events import Finish, TextDelta
from headwater.log.memory import MemoryStore
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Document, Lease
from headwater.models.scripted import Scripted
from headwater.principal import Principal
from headwater.web.gate import Ways

ROUTE = "/api/operator/pins"
SAID = [TextDelta("the model's"), Finish("stop")]


async def pin(client: httpx.AsyncClient, answer: str = "the operator's", **fields: Any) -> str:
    response = await client.put(ROUTE, json={"prompt": "Hi", "answer": answer, **fields})
    assert response.status_code == 200, response.text
    return response.json()["id"]


def told(response: httpx.Response) -> str:
    return text_of(parse(response.content))


async def test_a_pinned_answer_takes_the_place_of_the_models() -> None:
    """Before the cache, whatever the parameters are, and also for `no-cache`: an operator's word holds."""
    model = Scripted(SAID)
    async with headwater(model, pins=True) as server:
        assert told(await post_chat(server.client)) == "the model's"
        await pin(server.client)
        for headers in ({}, {"Cache-Control": "no-cache"}, {"Cache-Control": "only-if-cached"}):
            response = await post_chat(server.client, **headers)
            assert (told(response), response.headers["age"]) == ("the operator's", "0")
            assert response.headers["cache-status"] == "headwater; hit; detail=pinned"
            again = await server.client.get(response.headers["location"])
            assert told(again) == told(response)
        warm = await server.client.post("/api/stream/completion/chat", json=chat(temperature=1.5, user="ann"))
        plain = await server.client.post("/api/stream/completion", json={"prompt": "Hi"})
        assert {told(warm), told(plain)} == {"the operator's"}
    assert len(model.prompts) == 1


@pytest.mark.parametrize(
    ("body", "control"),
    [
        (chat("Ho"), ""),
        (chat(), "no-store"),
        (chat(tools=[{"type": "function", "function": {"name": "look"}}]), ""),
        (chat(response_format={"type": "json_object"}), ""),
        ({"messages": [{"role": "system", "content": "Be brief"}, *chat()["messages"]]}, ""),
    ],
    ids=["another question", "no-store", "tools", "JSON", "another system prompt"],
)
async def test_what_a_pin_does_not_answer(body: dict[str, Any], control: str) -> None:
    """Other messages, requests for what a text is not, and `no-store`, by which an operator asks the model itself."""
    async with headwater(Scripted(SAID), pins=True) as server:
        await pin(server.client)
        route = "/api/stream/completion/chat"
        assert told(await server.client.post(route, json=body, headers={"Cache-Control": control})) == "the model's"


REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", chat(model="scripted", stream=True)),
    ("/v1/responses", {"model": "scripted", "input": "Hi"}),
    ("/v1/messages", chat(model="scripted", max_tokens=9)),
    ("/api/chat", {"id": "c", "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}]}),
]


async def test_with_form_matching_a_pin_answers_other_words() -> None:
    """A pin of the very words comes first, and `match=exact` refuses all others; `start` says what was matched."""
    model, form = Scripted(SAID), Caching(secret=b"secret", match="form")
    async with headwater(model, pins=True, caching=form) as server:
        await pin(server.client, prompt="What are your hours?")
        for other in ("what are your hours", "Hi, what are your hours?"):
            response = await post_chat(server.client, other)
            assert told(response) == "the operator's"
            assert response.headers["cache-status"] == "headwater; hit; detail=pinned"
            assert parse(response.content)[0]["cache"]["matched"] == "What are your hours?"
        assert told(await post_chat(server.client, "What were your hours?")) == "the model's"
        strict = await post_chat(server.client, "what are your hours", **{"Cache-Control": "match=exact"})
        await pin(server.client, "the later one's", prompt="what are your hours")
        both = [
            told(await post_chat(server.client, asked)) for asked in ("What are your hours?", "what are your hours")
        ]

    assert told(strict) == "the model's"
    assert both == ["the operator's", "the later one's"]


async def test_every_dialect() -> None:
    """A pinned answer is a log like any other."""
    async with headwater(Scripted(SAID), pins=True) as server:
        await pin(server.client)
        for path, body in REQUESTS:
            response = await server.client.post(path, json=body)
            assert response.status_code == 200
            assert "the operator's" in response.text
            assert "detail=pinned" in response.headers["cache-status"]


async def test_a_pin_is_of_one_tenant_and_may_be_of_one_model() -> None:
    """Another tenant, or a request for another model, gets the model's answer."""

    def who(request: Request) -> Principal:
        return Principal(request.headers.get("x-tenant", "acme"), "ann")

    async with headwater(Scripted(SAID), who=who, pins=True) as server:
        await pin(server.client, tenant="acme", model="scripted")
        assert told(await post_chat(server.client)) == "the operator's"
        assert told(await post_chat(server.client, **{"x-tenant": "globex"})) == "the model's"
        await pin(server.client, "for all models", tenant="acme", prompt="Ho")
        assert told(await post_chat(server.client, "Ho")) == "for all models"
        assert (await server.client.put(ROUTE, json={"prompt": "Hi", "answer": "a", "model": "x"})).status_code == 404


async def test_pins_are_listed_replaced_and_removed() -> None:
    """The same question has one pin. Once it is removed, the model answers, at once."""
    async with headwater(Scripted(SAID), pins=True) as server:
        id = await pin(server.client)
        assert await pin(server.client, "another") == id
        assert told(await post_chat(server.client)) == "another"
        listed = (await server.client.get(ROUTE)).json()
        assert [(each["id"], each["tenant"], each["model"], each["answer"]) for each in listed] == [
            (id, "default", "", "another")
        ]
        assert listed[0]["messages"][0]["content"] == "Hi"
        assert (await server.client.delete(f"{ROUTE}/{id}")).status_code == 204
        assert told(await post_chat(server.client)) == "the model's"
        assert (await server.client.delete(f"{ROUTE}/{id}")).status_code == 404
        assert (await server.client.get(ROUTE)).json() == []


async def test_a_pin_survives_a_restart_and_the_loss_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever takes the log away, as a deletion or its TTL does: the pin's document makes it again."""
    path = tmp_path / "logs.sqlite"
    async with headwater(Scripted(SAID), SqliteStore(path), pins=True) as server:
        await pin(server.client, "long " * 40_000)
    async with headwater(Scripted(SAID), SqliteStore(path), pins=True) as server:
        first = await post_chat(server.client)
        assert told(first) == "long " * 40_000
        assert (await server.client.delete(first.headers["location"])).status_code == 204
        second = await post_chat(server.client)
        assert told(second) == told(first)
        monkeypatch.setattr(pins, "LASTS", -1.0)
        third = await post_chat(server.client)
        assert told(third) == told(first)
        assert len({each.headers["location"].partition("~")[0] for each in (first, second, third)}) == 3


async def test_other_servers_learn_of_pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They look for them every few seconds; a pin that was removed is known at once, since its log is gone."""
    monkeypatch.setattr(pins, "LOOK", 0.0)
    path = tmp_path / "logs.sqlite"
    one = headwater(Scripted(SAID), SqliteStore(path), pins=True)
    other = headwater(Scripted(SAID), SqliteStore(path), pins=True)
    async with one as first, other as second:
        assert told(await post_chat(second.client, "Ho")) == "the model's"
        id = await pin(first.client)
        assert told(await post_chat(second.client)) == "the operator's"
        monkeypatch.setattr(pins, "LOOK", 600.0)
        await first.client.delete(f"{ROUTE}/{id}")
        assert told(await post_chat(second.client)) == "the model's"


async def test_pins_are_read_again_only_when_one_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at pins that are as they were costs one small document, however many they are."""

    class Counted(MemoryStore):
        listings = 0

        async def list_documents(self, collection: str, *, after: str = "") -> Sequence[tuple[str, Document]]:
            self.listings += collection == pins.COLLECTION
            return await super().list_documents(collection, after=after)

    monkeypatch.setattr(pins, "LOOK", 0.0)
    store = Counted()
    async with headwater(Scripted(SAID), store, pins=True) as server:
        await pin(server.client)
        read = [(told(await post_chat(server.client)), store.listings) for _ in range(3)]
        await pin(server.client, "another")
        assert told(await post_chat(server.client)) == "another"

    assert read == [("the operator's", read[0][1])] * 3
    assert store.listings > read[0][1]


async def test_a_pin_that_is_removed_while_its_answer_is_made_again_stays_removed() -> None:
    """By another server, whose operator was told that it is gone."""

    class Removing(MemoryStore):
        removed = ""

        async def open(self, log: str, principal: Principal, **terms: Any) -> Lease:
            await self.delete(self.removed, collection=pins.COLLECTION)
            return await super().open(log, principal, **terms)

    store = Removing()
    async with headwater(Scripted(SAID), store, pins=True) as server:
        id = await pin(server.client)
        await server.client.delete((await post_chat(server.client)).headers["location"])
        store.removed = id
        assert told(await post_chat(server.client)) == "the model's"
        assert (await server.client.get(ROUTE)).json() == []


async def test_pins_are_the_operators(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A tenant's key does not pin; what the operator does is in the audit log, without any text."""
    ways = Ways(operator="an-operators-key")
    async with headwater(
        Scripted(SAID), keys=Keys(keys_in("acme:a-secret-key"), KeyFile(tmp_path / "keys.json")), ways=ways, pins=True
    ) as server:
        body = {"prompt": "Hi", "answer": "the operator's", "tenant": "acme"}
        for key, status in (("a-secret-key", 403), ("an-operators-key", 200)):
            with caplog.at_level("INFO", "headwater.audit"):
                response = await server.client.put(ROUTE, json=body, headers={"Authorization": f"Bearer {key}"})
            assert response.status_code == status
        assert told(await post_chat(server.client, Authorization="Bearer a-secret-key")) == "the operator's"
    assert 'pin tenant="acme"' in caplog.text
    assert "the operator's" not in caplog.text


async def test_pins_are_off_by_default() -> None:
    """A server that looks for none says which setting is missing, and asks its store for nothing."""
    async with headwater(Scripted(SAID)) as server:
        response = await server.client.put(ROUTE, json={"prompt": "Hi", "answer": "a"})
        assert response.status_code == 409
        assert "HEADWATER_PINS" in response.json()["detail"]


@pytest.mark.parametrize("body", [{"prompt": "Hi"}, {"answer": "a"}, {"prompt": "Hi", "answer": 3}, {"messages": []}])
async def test_half_a_pin_is_refused(body: dict[str, Any]) -> None:
    """With words that say what is missing."""
    async with headwater(Scripted(SAID), pins=True) as server:
        assert (await server.client.put(ROUTE, json=body)).status_code == 422


async def test_too_many_pins(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a bound, because every server keeps them in memory; one that is there can still be replaced."""
    monkeypatch.setattr(pins, "MOST", 1)
    async with headwater(Scripted(SAID), pins=True) as server:
        await pin(server.client)
        await pin(server.client, "another")
        assert (await server.client.put(ROUTE, json={"prompt": "Ho", "answer": "a"})).status_code == 409
