"""Request fields in three classes: what decides the answer, what is carried to the provider, and what is ours."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from langchain_openai import ChatOpenAI
from openai.types.chat.completion_create_params import CompletionCreateParamsBase as Chat
from openai.types.completion_create_params import CompletionCreateParamsBase as Completion
from openai.types.responses.response_create_params import ResponseCreateParamsBase as Responses
from serving import chat, headwater, post_chat, serving
from starlette.requests import Request
from upstream import Upstream

import headwater as package
from headwater.dialects.fields import OURS, sorted_out
from headwater.dialects.native.schema import ChatBody
from headwater.events import Finish, TextDelta
from headwater.langchain import ChatOpenAIWire, OpenAIWireLLM
from headwater.models.openai.connection import Account
from headwater.models.scripted import Scripted
from headwater.principal import Principal
from headwater.prompt import CARRIED

KEY = "sk-test"
DOCS = (Path(__file__).parents[2] / "docs" / "fields.md").read_text()
STREAMED = {"stream"}  # in a part of OpenAI's types that depends on its value
APIS: Mapping[str, set[str]] = {
    "native": set(ChatBody.__struct_fields__),
    "Chat Completions": {*Chat.__annotations__, *STREAMED},
    "Completions": {*Completion.__annotations__, *STREAMED},
    "Responses": {*Responses.__annotations__, *STREAMED},
}


def test_the_table_in_the_docs_is_the_one_in_the_code() -> None:
    """Field by field, with the requests that have it: the native ones, and those of OpenAI's own types."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in DOCS.splitlines() if line.startswith("| `")]
    classes = {**dict.fromkeys(CARRIED, "carried"), **dict.fromkeys(OURS, "ours")}
    assert {row[0].strip("`"): row[1] for row in rows} == classes
    for name, _, apis in rows:
        assert apis == ", ".join(api for api, fields in APIS.items() if name.strip("`") in fields), name


def test_a_field_that_nobody_knows_decides_the_answer() -> None:
    """And a null is no field at all."""
    body: dict[str, Any] = {
        "top_k": 1,
        "logit_bias": None,
        "user": "ann",
        "service_tier": None,
        "stream": True,
        "id": "x",
    }
    assert sorted_out(body) == ({"top_k": 1}, {"user": "ann"})


async def test_an_answer_that_the_provider_is_to_keep_is_always_a_new_one() -> None:
    """`store: true` means this completion; a stored answer of ours would leave the provider with none."""
    model = Scripted([TextDelta("Hello"), Finish("stop")])
    async with headwater(model) as server:
        answers = [
            await server.client.post("/api/stream/completion/chat", json=chat() | kept)
            for kept in ({"store": True}, {"store": True}, {"store": False}, {}, {"store": True})
        ]
        again = await post_chat(server.client)
    statuses = [answer.headers["cache-status"].partition("; ttl")[0] for answer in [*answers, again]]
    asked, miss, hit = "headwater; fwd=request", "headwater; fwd=miss", "headwater; hit"
    assert statuses == [asked, asked, miss, hit, asked, hit]
    assert [prompt.carried for prompt in model.prompts] == [
        {"store": True},
        {"store": True},
        {"store": False},
        {"store": True},
    ]


async def test_the_provider_gets_the_carried_fields_of_the_request_that_asked_it() -> None:
    """One call answers both; nothing of ours goes with it."""
    app = FastAPI()
    async with Upstream() as upstream:
        app.include_router(package.router("openai:x", openai_base_url=upstream.url, store="memory:"))
        async with serving(app, lifespan=True) as client:
            for user in ("ann", "bob"):
                body = chat("Hi", user=user, metadata={"a": "1"}, service_tier="flex", conversation_id="c", id="r")
                await client.post("/api/stream/completion/chat", json=body)
    (request,) = upstream.requests
    assert request.body.items() >= {"user": "ann", "metadata": {"a": "1"}, "service_tier": "flex"}.items()
    assert not {"conversation_id", "id"} & request.body.keys()


# ---- A prompt_cache_key that nobody has set


CONVERSATION = [
    {"role": "system", "content": "Be brief"},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "And now?"},
]


def who(request: Request) -> Principal:
    return Principal(request.headers["x-tenant"], "ann")


async def keys(upstream: Upstream, model: Any = None, *bodies: dict[str, Any], **settings: Any) -> list[Any]:
    """The `prompt_cache_key` that the provider got with each request, the last one of another tenant."""
    app = FastAPI()
    if model is None:
        model, settings = "openai:x", settings | {"openai_base_url": upstream.url, "openai_api_key": KEY}
    app.include_router(package.router(model, store="memory:", principal=who, **settings))
    begun = upstream.calls
    async with serving(app, lifespan=True) as client:
        for number, body in enumerate(bodies):
            tenant = "acme" if number < len(bodies) - 1 else "other"
            path = "/api/stream/completion" if "prompt" in body else "/api/stream/completion/chat"
            answer = await client.post(path, json=body, headers={"x-tenant": tenant})
            assert answer.status_code == 200
    return [request.body.get("prompt_cache_key") for request in upstream.requests[begun:]]


BODIES = [
    {"messages": CONVERSATION[:2], "temperature": 0.5},
    {"messages": CONVERSATION, "user": "bob"},
    {"messages": [CONVERSATION[0], {"role": "user", "content": "Ho"}]},
    {"messages": CONVERSATION, "top_p": 1, "prompt_cache_key": "mine"},
    {"messages": CONVERSATION},
]


async def test_all_turns_of_a_conversation_get_the_same_prompt_cache_key() -> None:
    """Another conversation another one, and another tenant too; the caller's own stays as it is."""
    async with Upstream() as upstream:
        first, second, another, own, foreign = await keys(upstream, None, *BODIES, prompt_cache_key="on")
    assert first == second
    assert len({first, another, foreign}) == 3
    assert own == "mine"
    assert re.fullmatch(r"[0-9a-f]{32}", first)


@pytest.mark.parametrize(
    ("setting", "at_openai", "derives"),
    [("auto", True, True), ("auto", False, False), ("on", False, True), ("off", True, False)],
)
async def test_a_key_is_derived_at_openai_or_where_the_operator_says_so(
    setting: str, at_openai: bool, derives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a model that is named, and for an object; a completion is no conversation."""
    monkeypatch.setattr(Account, "is_openai", at_openai)
    options: dict[str, Any] = {"base_url": "", "api_key": KEY, "model": "gpt-test"}
    async with Upstream() as upstream:
        options["base_url"] = upstream.url
        objects = [None, ChatOpenAI(**options), ChatOpenAIWire(**options).bind(temperature=0.5)]
        own = ChatOpenAI(**options, model_kwargs={"prompt_cache_key": "own"})
        for model in objects:
            (key,) = await keys(upstream, model, BODIES[0], prompt_cache_key=setting)
            assert (key is not None) == derives
        assert await keys(upstream, own, BODIES[0], prompt_cache_key=setting) == ["own"]
        assert await keys(upstream, OpenAIWireLLM(**options), BODIES[0], prompt_cache_key=setting) == [None]
        assert await keys(upstream, None, {"prompt": "Once upon"}, prompt_cache_key=setting) == [None]
