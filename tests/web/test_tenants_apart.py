"""Tenants apart: on every route and in every dialect, nobody reads, resumes, changes, lists or counts another's.

Each route has a rule below. A route without one fails the test, so whoever adds a route says what it keeps apart.
"""

import asyncio
import base64
import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenants import SLOW, TENANTS, Json, Watched, World, answers_in, asked, chat, routes_of, run, ui, word_of, world

from headwater.web.gate import is_operators

OPEN, REFUSED, OWN, ASKS, STATIC = "open", "refused", "own", "asks", "static"
"""What a route does for a stranger who names what is another's. In this order: anybody may call it; it finds nothing
there; it shows what is the caller's; it gives the caller an answer; it tells nothing of anybody."""


class Rule(NamedTuple):
    """How a route is called by somebody who knows all ids of another tenant, and what must come of it."""

    kind: str
    path: str = ""
    body: Json | None = None
    headers: Mapping[str, str] = {}


def rules(of: Json) -> dict[str, Rule]:
    """The rule of each route; `of` has the ids of what the other tenant has."""
    log, live, hit, chat_id, file = of["log"], of["live"], of["hit"], of["chat"], of["file"]
    one, at, question = f"/api/conversations/{chat_id}", {"last-event-id": of["offset"]}, of["question"]
    refused = {
        "GET /api/streams/{message_id}": f"/api/streams/{log}",
        "POST /api/streams/{message_id}/stop": f"/api/streams/{live}/stop",
        "DELETE /api/streams/{message_id}": f"/api/streams/{hit}",
        "GET /agui": f"/agui?runId={of['run']}",
        "GET /v1/responses/{id}": f"/v1/responses/{of['response']}",
        "POST /v1/responses/{id}/cancel": f"/v1/responses/{of['running']}/cancel",
        "DELETE /v1/responses/{id}": f"/v1/responses/{of['response']}",
        "GET /v1/responses/{id}/input_items": f"/v1/responses/{of['response']}/input_items",
        "GET /api/chat/{id}/stream": f"/api/chat/{log}/stream?startIndex=0",
        "POST /api/chat/{id}/stop": f"/api/chat/{live}/stop",
        "GET /api/conversations/{id}": one,
        "PATCH /api/conversations/{id}": one,
        "DELETE /api/conversations/{id}": one,
        "GET /api/conversations/{id}/attachments/{attachment}": f"{one}/attachments/{file}",
        "GET /api/conversations/{id}/export": f"{one}/export?format=json",
        "POST /api/conversations/{id}/share": f"{one}/share",
        "DELETE /api/conversations/{id}/share": f"{one}/share",
    }
    asks: dict[str, tuple[Json, dict[str, str]]] = {
        "POST /api/stream/completion": ({"message": question}, at),
        "POST /api/stream/completion/chat": (chat(question), {"idempotency-key": "key-0001", **at}),
        "POST /v1/chat/completions": (chat(question), {"x-stainless-retry-count": "1"}),
        "POST /v1/completions": ({"prompt": question}, {"cache-control": "no-cache", "idempotency-key": "key-0001"}),
        "POST /v1/messages": (chat(question), {"x-stainless-retry-count": "0"}),
        "POST /v1/responses": ({"input": question}, {}),
        "POST /agui": (run(question, of["thread"], of["run"]), {"x-run-id": of["run"], **at}),
        "POST /api/chat": (ui(question, of["ui"]), at),
        "POST /api/completion": ({"prompt": question}, {}),
        "POST /api/conversations/{id}/messages": (asked(question), {"accept": "text/event-stream"}),
    }
    own = {
        "GET /api/streams": f"/api/streams?read={log}&read={live}@{of['offset']}",
        "GET /api/conversations": "/api/conversations?q=answer",
        "GET /api/cache": "",
        "DELETE /api/cache": "",
    }
    nothing = ["GET /api/stream", "POST /api/stream", "GET /v1/models", "GET /api/about", "GET /openapi.json"]
    return {
        **{route: Rule(REFUSED, path, {"title": "x"}) for route, path in refused.items()},
        **{
            route: Rule(ASKS, route.partition(" ")[2].replace("{id}", chat_id), body, headers)
            for route, (body, headers) in asks.items()
        },
        **{route: Rule(OWN, path) for route, path in own.items()},
        **{route: Rule(STATIC, body={}) for route in nothing},
        "GET /v1/models/{model:path}": Rule(STATIC, "/v1/models/scripted"),
        "POST /v1/messages/count_tokens": Rule(STATIC, body=chat(question)),
        "PUT /api/conversations/{id}": Rule(OWN, one, {"title": "another one of the same id"}),
        "POST /api/conversations/import": Rule(OWN, body={"conversations": []}),
        "GET /api/shared/{token}": Rule(OPEN, f"/api/shared/{of['token']}"),
        "GET /api/shared/{token}/stream": Rule(OPEN, f"/api/shared/{of['token']}/stream"),
        "GET /api/shared/{token}/attachments/{attachment}": Rule(OPEN, f"/api/shared/{of['token']}/attachments/{file}"),
        **{f"GET {path}": Rule(STATIC) for path in ("/healthz", "/readyz", "/login", "/join/{token}")},
        **{f"POST {path}": Rule(STATIC) for path in ("/login", "/logout", "/join/{token}", "/api/visitor/link")},
    }


async def belongings(world: World, tenant: str) -> Json:
    """The ids of everything that a tenant can have on a server."""
    call, word, name = world.call, word_of(tenant), TENANTS.index(tenant)
    question, id = "What is the question that everybody asks?", f"mine-000{name}"
    first = await call(tenant, "POST", "/api/stream/completion/chat", json=chat(question))
    hit = await call(tenant, "POST", "/v1/chat/completions", json=chat(question))
    made = await call(tenant, "POST", "/v1/responses", json={"input": question, "metadata": {"a": word}})
    slow = {"input": f"{word} {SLOW}", "background": True}
    running = (await call(tenant, "POST", "/v1/responses", json=slow)).json()["id"]
    headers = {"x-run-id": f"run-{name}"}
    await call(tenant, "POST", "/agui", json=run(f"{word}?", f"thread-{name}", f"run-{name}"), headers=headers)
    await call(tenant, "POST", "/api/chat", json=ui(question, f"ui-{name}"))
    file = {"name": "a.txt", "data": base64.b64encode(f"{word} in a file".encode()).decode()}
    said = (await call(tenant, "POST", at(id, "/messages"), json=asked(f"{word}?", attachments=[file]))).json()
    await call(tenant, "PATCH", at(id), json={"title": f"{word} in a title"})
    while (await call(tenant, "GET", at(id))).json()["live"]:
        await asyncio.sleep(0.005)
    await call(tenant, "POST", at("busy-0001", "/messages"), json=asked(f"{word}, {SLOW}"))
    return {
        "question": question,
        "log": first.headers["location"].rpartition("/")[2],
        "offset": re.findall(r"^id: (\S+)$", first.text, re.MULTILINE)[0],
        "hit": hit.json()["id"],
        "response": made.json()["id"],
        "running": running,
        "live": running.removeprefix("resp_"),
        "thread": f"thread-{name}",
        "run": f"run-{name}",
        "ui": f"ui-{name}",
        "chat": id,
        "file": said["question"]["attachments"][0]["id"],
        "token": (await call(tenant, "POST", at(id, "/share"))).json()["token"],
    }


def at(id: str, rest: str = "") -> str:
    """The path of a conversation, or of what lies below it."""
    return f"/api/conversations/{id}{rest}"


async def seen(world: World, tenant: str, of: Json) -> list[Any]:
    """What a tenant sees of its own: it must be the same whatever the others do."""
    paths = [f"/api/streams/{of['log']}", f"/api/streams/{of['live']}", f"/v1/responses/{of['response']}"]
    paths += [f"/agui?threadId={of['thread']}", at(of["chat"]), at("busy-0001"), "/api/conversations", "/api/cache"]
    paths += [at(of["chat"], "/export?format=json"), at(of["chat"], f"/attachments/{of['file']}")]
    found = [await world.call(tenant, "GET", path, headers={"accept": "application/json"}) for path in paths]
    assert all(each.status_code == 200 for each in found)
    return [each.text for each in found]


async def called(world: World, who: str, route: str, rule: Rule) -> httpx.Response:
    """A route, called by its rule."""
    method, path = route.split(" ", 1)
    body: Json = {} if rule.body is None or method in ("GET", "DELETE") else {"json": rule.body}
    return await world.call(who, method, rule.path or path, shown=rule.kind == OPEN, headers=dict(rule.headers), **body)


UNKEYED = {"GET /healthz", "GET /readyz", "GET /login", "POST /login", "POST /logout"}


def check_alone(store: Watched) -> None:
    """No name in the store was used for two tenants, or says what was asked.

    But for links, which tenants show each other, and the server's own list of answers that are still to be settled.
    """
    assert store.used
    for name, tenants in store.used.items():
        assert len(tenants) == 1 or re.match("(document|collection) (shares|settling)", name), f"{name}: {tenants}"
        assert not re.search("word-of|question that", name), name


async def test_every_route_has_a_rule() -> None:
    """A new route fails here, until somebody has said what it keeps apart. The operator's are behind the gate."""
    async with world() as server:
        of = await belongings(server, "acme")
        routes = {route for route in routes_of(server.app) if not route.startswith("HEAD ")}
    operators = {route for route in routes if is_operators(route.partition(" ")[2])}
    assert {"GET /metrics", "DELETE /api/operator/cache"} <= operators
    assert routes - operators == {*rules(of)}


@pytest.mark.parametrize("owner", TENANTS)
async def test_whoever_knows_every_id_of_another_tenant_gets_nothing_of_it_and_changes_nothing(owner: str) -> None:
    """Nor does somebody without a key, or with the operator's; and the two tenants share no name in the store."""
    async with world() as server:
        of = await belongings(server, owner)
        before, table = await seen(server, owner, of), rules(of)
        attempts = [*((route, Rule(REFUSED, path, body)) for route, path, body in more(of)), *table.items()]
        for who in (tenant for tenant in ("", "operator", *TENANTS) if tenant != owner):
            for route, rule in attempts:
                response = await called(server, who, route, rule)
                told = f"{route} for {who!r}: {response.status_code} {response.text[:300]}"
                if who not in TENANTS:
                    unkeyed = route in UNKEYED or route.startswith("GET /api/shared/")
                    assert unkeyed or response.status_code in (401, 403), told
                elif rule.kind == REFUSED:
                    assert response.status_code in (404, 400 if "previous_response_id" in str(rule.body) else 404), told
                elif rule.kind == ASKS:
                    assert response.status_code == 200, told
                    assert answers_in(response.text), told
                elif rule.kind == OWN:
                    assert response.is_success, told
                elif rule.kind == STATIC:
                    assert not answers_in(response.text), told
        assert await seen(server, owner, of) == before
        check_alone(server.store)


def more(of: Json) -> list[tuple[str, str, Json | None]]:
    """Further ways to name what is another tenant's, by routes that have a rule already."""
    return [
        ("GET /api/streams/{message_id}", f"/api/streams/{of['live']}", None),
        ("GET /api/streams/{message_id}", f"/api/streams/{of['log']}~0?after={of['offset']}", None),
        ("DELETE /api/streams/{message_id}", f"/api/streams/{of['live']}", None),
        ("POST /v1/responses", "", {"input": "Go on.", "previous_response_id": of["response"]}),
        ("GET /v1/responses/{id}", f"/v1/responses/resp_{of['log']}?stream=true", None),
        ("GET /api/chat/{id}/stream", f"/api/chat/{of['ui']}/stream?startIndex=0", None),
        ("POST /api/chat/{id}/stop", f"/api/chat/{of['ui']}/stop", None),
        ("GET /api/shared/{token}", f"/api/shared/{of['chat']}", None),
        ("GET /api/conversations/{id}", at("busy-0001"), None),
    ]


async def test_one_question_in_every_dialect_is_one_generation_for_each_tenant() -> None:
    """However many ask it at once, and again; each gets its own tenant's answer."""
    async with world() as server:
        nowhere = defaultdict(lambda: "none-0001", question="")
        for route, rule in rules(nowhere).items():
            if rule.kind != ASKS:
                continue
            body = json.loads(json.dumps(rule.body).replace('""', json.dumps(f"Of {route}?")))
            alike = rule._replace(body=body, headers={"accept": "*/*"})
            before = len(server.model.owners)
            for _ in range(2):
                told = await asyncio.gather(*(called(server, each, route, alike) for each in TENANTS for _ in range(3)))
                assert all(each.is_success for each in told), [each.text for each in told]
            assert sorted(server.model.owners[before:]) == sorted(TENANTS), route
        check_alone(server.store)


class Step(NamedTuple):
    """What a tenant does, to what is its own or to what it knows of another one."""

    who: str
    what: str
    which: int
    """The number of the question, or of the answer or conversation among all there are."""


LOOKS = {"list": "/api/conversations", "search": "/api/conversations?q=word", "figures": "/api/cache"}
DOES = ("ask", "openai", "responses", "talk", "read", "state", "stop", "forget", "drop", *LOOKS)
steps = st.builds(Step, st.sampled_from(TENANTS), st.sampled_from(DOES), st.integers(0, 5))
ASKING: dict[str, Callable[[str], tuple[str, Json]]] = {
    "ask": lambda question: ("/api/stream/completion/chat", chat(question)),
    "openai": lambda question: ("/v1/chat/completions", chat(question)),
    "responses": lambda question: ("/v1/responses", {"input": question}),
}


class Course:
    """What has happened on a server: which answers and conversations there are, and whose each is."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._logs: list[tuple[str, str]] = []
        self._begun: list[tuple[str, str]] = []
        """The conversations that were ever begun."""

    async def step(self, step: Step) -> None:
        """Take a step. `World.call` looks at what comes back; here is whether an id was served to whose it is."""
        who, what, which = step
        call = self._world.call
        if what in ASKING:
            path, body = ASKING[what](f"question {which}?")
            answer = await call(who, "POST", path, json=body)
            if answer.status_code == 410:  # somebody of the tenant has deleted it at this moment
                return
            assert answers_in(answer.text)
            log = answer.headers["location"] if what == "ask" else answer.json()["id"].removeprefix("resp_")
            self._logs.append((who, log.rpartition("/")[2]))
        elif what == "talk":
            id = f"chat-of-{TENANTS.index(who)}-{which}"
            self._begun.append((who, id))
            await call(who, "POST", at(id, "/messages"), json=asked(f"{word_of(who)} {which}?"))
        elif what in LOOKS:
            await self.look(who, what)
        elif what == "drop" and self._begun:
            owner, id = self._begun[which % len(self._begun)]
            assert (await call(who, "DELETE", at(id))).status_code in ((204, 404) if owner == who else (404,))
        elif self._logs and what != "drop":
            await self._reach(step)

    async def _reach(self, step: Step) -> None:
        owner, log = self._logs[step.which % len(self._logs)]
        method, rest = {"read": ("GET", ""), "state": ("GET", ""), "stop": ("POST", "/stop"), "forget": ("DELETE", "")}[
            step.what
        ]
        accept = {"accept": "application/json" if step.what == "state" else "text/event-stream"}
        told = await self._world.call(step.who, method, f"/api/streams/{log}{rest}", headers=accept)
        # What its tenant has deleted is gone for everybody, and the id alone does not say whose it was.
        assert told.status_code in ((200, 202, 204, 410) if step.who == owner else (404, 410))

    async def look(self, who: str, what: str) -> None:
        """A tenant sees no conversation and counts no answer that it has not begun."""
        told = (await self._world.call(who, "GET", LOOKS[what])).json()
        own = {id for owner, id in self._begun if owner == who}
        assert {each["id"] for each in told.get("conversations", [])} <= own
        assert told.get("answers", 0) <= len([owner for owner, _ in self._begun if owner == who])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(steps, min_size=1, max_size=5), max_size=8))
def test_no_course_of_events_lets_tenants_meet(rounds: Sequence[Sequence[Step]]) -> None:
    """Whatever five tenants do, one after the other and at once."""

    async def live() -> None:
        async with world() as server:
            course = Course(server)
            for together in rounds:
                await asyncio.gather(*(course.step(step) for step in together))
            for who in TENANTS:
                await asyncio.gather(*(course.look(who, what) for what in LOOKS))
            check_alone(server.store)

    asyncio.run(live())
