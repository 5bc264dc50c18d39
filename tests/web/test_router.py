"""Headwater's routes in somebody else's app."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends, FastAPI, HTTPException
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from serving import chat, parse, serving, text_of
from starlette.requests import Request
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

import headwater
from headwater.answer import Answer
from headwater.errors import Unsupported
from headwater.events import Finish, TextDelta
from headwater.log.memory import MemoryStore
from headwater.models.scripted import SILENCE, Scripted
from headwater.observe import Observer
from headwater.observe import Request as Request_

EXAMPLE = Path(__file__).parents[2] / "examples" / "your_app.py"


async def test_the_example_in_ten_lines_streams_caches_and_resumes_under_its_prefix() -> None:
    """`Location` leads through the app's own prefix, and its lifespan opens and closes what the routes need."""
    spec = importlib.util.spec_from_file_location("your_app", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    async with serving(module.app, lifespan=True) as client:
        first = await client.post("/llm/api/stream/completion/chat", json=chat("ahoy"))
        second = await client.post("/llm/api/stream/completion/chat", json=chat("ahoy"))
        resumed = await client.get(second.headers["location"], headers={"last-event-id": "1-1"})

    assert text_of(parse(first.content)).endswith("You said: ahoy")
    assert first.headers["location"].startswith("/llm/api/streams/")
    assert second.headers["cache-status"].startswith("headwater; hit")
    assert text_of(parse(resumed.content)) == text_of(parse(first.content))


async def test_the_prefix_says_that_the_routes_have_no_page() -> None:
    """A visitor who looks for the chat page learns where it is, and which routes there are instead."""
    app = FastAPI()
    app.include_router(headwater.router("echo", store="memory:"), prefix="/llm")
    async with serving(app, lifespan=True) as client:
        for path in ("/llm/", "/llm"):
            found = await client.get(path, follow_redirects=True)
            assert (found.status_code, found.json()["code"]) == (404, "not_found")
            assert "POST /llm/api/stream/completion/chat asks a model" in found.json()["detail"]
            assert "`headwater serve`" in found.json()["detail"]


async def test_without_a_prefix_the_root_stays_the_apps_own() -> None:
    """Whether its route comes before or after; and nothing of ours is there if it has none."""
    app, bare = FastAPI(), FastAPI()
    for each in (app, bare):
        each.include_router(headwater.router("echo", store="memory:"))
    app.add_api_route("/", lambda: "mine")
    app.mount("/below", bare)
    async with serving(app, lifespan=True) as client:
        assert (await client.get("/")).json() == "mine"
        assert (await client.post("/")).status_code == 405
        assert (await client.get("/below/")).json() == {"detail": "Not Found"}


async def test_the_description_of_the_api_names_every_operation_once() -> None:
    """Clients are generated from it, a function for each name; FastAPI warns of those that are the same."""
    app = FastAPI()
    app.include_router(headwater.router(RunnableLambda(str), store="memory:"))
    async with serving(app, lifespan=True) as client:
        described = (await client.get("/openapi.json")).json()

    names = [operation["operationId"] for path in described["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names)) > 5


async def test_a_runnable_is_cached_only_when_it_is_named() -> None:
    """It may have side effects; only its author knows."""
    calls: list[Any] = []

    def shout(messages: list[Any]) -> str:
        calls.append(messages)
        return str(messages[-1].content).upper()

    for cache_as, expected in ((None, 2), ("v1", 1)):
        calls.clear()
        app = FastAPI()
        app.include_router(headwater.router(RunnableLambda(shout), cache_as=cache_as, store="memory:"))
        async with serving(app, lifespan=True) as client:
            for _ in range(2):
                answer = await client.post("/api/stream/completion/chat", json=chat("hi"))
                assert text_of(parse(answer.content)) == "HI"
        assert len(calls) == expected


async def test_an_answer_ends_before_the_platform_ends_its_request() -> None:
    """Ten seconds before, so that the ending is stored and reaches its readers."""
    app = FastAPI()
    app.include_router(headwater.router(Scripted([TextDelta("a"), SILENCE]), store="memory:", lifetime=10.1))
    async with serving(app, lifespan=True) as client:
        answer = parse((await client.post("/api/stream/completion/chat", json=chat("hi"))).content)

    assert text_of(answer) == "a"
    assert (answer[-1]["code"], answer[-1]["retryable"]) == ("shutdown", True)


async def test_a_store_of_your_own_stays_yours_to_close() -> None:
    """Whoever opened it closes it: what is in it outlives the app."""
    store = MemoryStore()
    app = FastAPI()
    app.include_router(headwater.router("echo", store=store))
    for outcome in ("fwd=miss", "hit"):
        async with serving(app, lifespan=True) as client:
            answer = await client.post("/api/stream/completion/chat", json=chat("ahoy"))
        assert outcome in answer.headers["cache-status"]
    await store.check()


async def test_hooks_are_called_for_every_answer() -> None:
    """`on_finish` gets the answer itself; an observer gets the request as well."""
    answers: list[Answer] = []
    requests: list[Request_] = []

    async def keep(answer: Answer) -> None:
        answers.append(answer)

    class Claims(Observer):
        def claimed(self, request: Request_) -> None:
            requests.append(request)

    app = FastAPI()
    app.include_router(headwater.router("echo", store="memory:", on_finish=keep, observers=[Claims()]))
    async with serving(app, lifespan=True) as client:
        await client.post("/api/stream/completion/chat", json=chat("ahoy"))

    assert [(answer.state, answer.text.endswith("You said: ahoy")) for answer in answers] == [("finished", True)]
    assert [(each.outcome, each.log) for each in requests] == [("miss", answers[0].id)]


async def test_a_chat_model_of_your_own_streams() -> None:
    """Any LangChain chat model works; a stream without a finish reason is reported as truncated, not as whole."""
    app = FastAPI()
    model = GenericFakeChatModel(messages=iter([AIMessage("one two"), AIMessage("three")]))
    app.include_router(headwater.router(model, store="memory:"))
    async with serving(app, lifespan=True) as client:
        received = parse((await client.post("/api/stream/completion/chat", json=chat())).content)

    assert text_of(received) == "one two"
    assert (received[-1]["type"], received[-1]["code"]) == ("error", "truncated")


async def test_a_model_of_your_own_stays_yours_to_close() -> None:
    """Whoever opened it closes it: it may serve another app, or this one's next life."""

    class Mine(Scripted):
        closed = False

        async def aclose(self) -> None:
            self.closed = True

    mine = Mine([TextDelta("ahoy"), Finish("stop")])
    app = FastAPI()
    app.include_router(headwater.router(mine, store="memory:"))
    async with serving(app, lifespan=True) as client:
        answer = await client.post("/api/stream/completion/chat", json=chat("hello"))

    assert text_of(parse(answer.content)) == "ahoy"
    assert not mine.closed


async def test_an_answer_is_where_the_router_is_that_gave_it() -> None:
    """Two routers in one app, and one whose prefix has a parameter, with characters that a header cannot contain."""
    app = FastAPI()
    outer = FastAPI()
    app.include_router(headwater.router("echo", store="memory:"), prefix="/a")
    app.include_router(headwater.router("echo", store="memory:"), prefix="/t/{tenant}")
    sub = FastAPI()
    sub.include_router(headwater.router("echo", store="memory:"))
    outer.mount("/sub", sub)
    outer.mount("/", app)
    async with serving(outer) as client:
        for prefix in ("/a", "/t/b", "/t/caf%C3%A9%20%0D", "/sub"):
            first = await client.post(f"{prefix}/api/stream/completion/chat", json=chat())
            at = first.headers["location"]
            again = await client.get(at)
            assert first.status_code == 200
            assert at.startswith(f"{prefix}/api/streams/")
            assert text_of(parse(again.content)) == text_of(parse(first.content)) != ""
            assert again.headers["location"] == at


async def test_an_app_behind_a_proxy_that_cuts_its_prefix_off_puts_it_back() -> None:
    """`root_path` is what the proxy has cut off."""
    app = FastAPI()
    app.include_router(headwater.router("echo", store="memory:"), prefix="/llm")

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": "/proxied"}, receive, send)

    async with serving(behind) as client:
        first = await client.post("/llm/api/stream/completion/chat", json=chat())

    assert first.headers["location"].startswith("/proxied/llm/api/streams/")


async def test_a_caller_whom_the_app_refuses_gets_a_problem() -> None:
    """The `principal` callback may raise what FastAPI's dependencies raise; the app's other refusals stay its own."""

    def nobody(_: Request) -> headwater.Principal:
        raise HTTPException(401, "who are you?", {"WWW-Authenticate": "Bearer"})

    def closed() -> None:
        raise HTTPException(418, "closed")

    app = FastAPI()
    app.include_router(headwater.router("echo", store="memory:", principal=nobody))
    shut = headwater.router("echo", store="memory:")
    app.include_router(shut, prefix="/shut", dependencies=[Depends(closed)])
    async with serving(app, lifespan=True) as client:
        refused = await client.post("/api/stream/completion/chat", json=chat())
        their_own = await client.post("/shut/api/stream/completion/chat", json=chat())

    assert (refused.status_code, refused.json()["detail"]) == (401, "who are you?")
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["www-authenticate"] == "Bearer"
    assert (their_own.status_code, their_own.json()) == (418, {"detail": "closed"})


@pytest.mark.parametrize("store", ["memory:", "sqlite"])
def test_an_app_may_be_run_more_than_once(store: str, tmp_path: Path) -> None:
    """As `with TestClient(app)` does in each test, each time in another event loop."""
    app = FastAPI()
    named = store if store == "memory:" else f"sqlite://{tmp_path}/logs.sqlite"
    app.include_router(headwater.router("echo", store=named))
    statuses: list[str] = []
    for _ in range(3):
        with TestClient(app) as client:
            assert client.get("/api/stream").status_code == 200
            answer = client.post("/api/stream/completion/chat", json=chat("ahoy"))
            assert text_of(parse(answer.content)).endswith("You said: ahoy")
            statuses.append(answer.headers["cache-status"].partition("; ttl")[0])

    assert statuses == ["headwater; fwd=miss", *["headwater; hit" if store == "sqlite" else "headwater; fwd=miss"] * 2]


@pytest.mark.parametrize(
    ("model", "given", "words"),
    [
        ("echo", {"cache_tll": 1}, "no setting cache_tll"),
        (RunnableLambda(str), {"cache_tll": 1}, "no setting cache_tll"),
        (RunnableLambda(str), {"allowed_models": ["*"]}, "allowed_models is for models that are named"),
        (RunnableLambda(str), {"completion_model": "echo"}, "completion_model is for models that are named"),
        (RunnableLambda(str), {"openai_api_key": "sk"}, "openai_api_key is for models that are named"),
        (RunnableLambda(str), {"fallback": ["echo"]}, "fallback is for models that are named"),
        (RunnableLambda(str), {"think_tags": True}, "think_tags is for models that are named"),
        (RunnableLambda(str), {"openai_leave_out": ["n"]}, "openai_leave_out is for models that are named"),
        ("echo", {"api_keys": "a-key"}, "principal="),
    ],
    ids=str,
)
def test_a_setting_without_effect_is_refused(model: Any, given: dict[str, Any], words: str) -> None:
    """A typo must not pass for a setting."""
    with pytest.raises(Unsupported, match=words):
        headwater.router(model, store="memory:", **given)
