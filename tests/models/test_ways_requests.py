"""Which fields of a request reach the provider, and which never do: the same by every way to the provider."""

from typing import Any

import msgspec
import pytest
from upstream import Upstream
from ways import (
    EVERY_CHAT,
    EVERY_WAY,
    HELLO,
    KEY,
    ONCE_UPON,
    Build,
    answer,
    chat,
    completion,
    direct_chat,
    direct_completion,
    fast_chat,
    fast_completion,
    texts,
)

from headwater.errors import ModelError
from headwater.events import Finish
from headwater.models.by_name import from_name, through_langchain
from headwater.models.langchain.model import LangChainModel
from headwater.models.openai.connection import Account
from headwater.prompt import (
    Audio,
    File,
    Image,
    Message,
    MessageToolCall,
    Parameters,
    Prompt,
    ProviderPart,
    ProviderTool,
    Text,
    Tool,
)
from headwater.settings import Settings

CALL = MessageToolCall("c1", "weather", '{"city": "Oslo"}')
TOOL = Tool("weather", "Looks out of the window", {"type": "object", "properties": {"city": {"type": "string"}}})
PROMPTS = [
    HELLO,
    ONCE_UPON,
    msgspec.structs.replace(HELLO, parameters=Parameters(0.5, 0.9, 77, ["END"], 42, 0.1, 0.2)),
    msgspec.structs.replace(HELLO, extra={"logit_bias": {"1": -100}, "model": "dear", "stream": False, "n": 1}),
    msgspec.structs.replace(HELLO, extra={"max_completion_tokens": 9}, parameters=Parameters(max_tokens=5)),
    msgspec.structs.replace(HELLO, carried={"user": "ann", "metadata": {"a": "1"}, "service_tier": "flex"}),
    msgspec.structs.replace(HELLO, tools=[TOOL]),
    Prompt(
        model="m",
        messages=[
            Message("system", "Be brief"),
            Message("user", [Text("Weather?"), Image(data="AA==", media_type="image/png")], name="ann"),
            Message("assistant", tool_calls=[CALL]),
            Message("tool", "rain", tool_call_id="c1"),
            Message("assistant", "Rain."),
        ],
    ),
    Prompt(
        model="m",
        messages=[
            Message(
                "user",
                [
                    Image(url="https://x.example/y.png", detail="low"),
                    Audio(data="AA==", media_type="audio/mpeg"),
                    File(data="AA==", media_type="application/pdf", name="a.pdf"),
                    File(id="file-1"),
                    ProviderPart({"type": "image_url", "image_url": {"url": "https://x.example/z.png", "crop": True}}),
                ],
            )
        ],
        tools=[Tool("f", strict=True), ProviderTool({"type": "function", "function": {"name": "g"}, "cache": True})],
    ),
]


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("build", [direct_chat, fast_chat])
async def test_a_chat_model_gets_the_same_body(build: Build, prompt: Prompt) -> None:
    """Field by field that of LangChain's chat model."""
    async with Upstream() as upstream:
        await answer(build(upstream), prompt)
        await answer(chat(upstream), prompt)
        ours, theirs = upstream.requests
    assert ours.body == theirs.body
    assert ours.headers["authorization"] == theirs.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("prompt", PROMPTS[:6])
@pytest.mark.parametrize("build", [direct_completion, fast_completion])
async def test_a_completion_model_gets_the_same_body(build: Build, prompt: Prompt) -> None:
    """Except the fields that LangChain sends empty."""
    async with Upstream() as upstream:
        await answer(build(upstream), prompt)
        await answer(completion(upstream), prompt)
        ours, theirs = (
            {name: value for name, value in each.body.items() if value is not None} for each in upstream.requests
        )
    assert ours == theirs


@EVERY_CHAT
async def test_parameters_have_the_providers_names(build: Build) -> None:
    """Those of OpenAI's API."""
    async with Upstream() as upstream:
        await answer(build(upstream), PROMPTS[2])
        body = upstream.requests[0].body
    wanted = {"temperature": 0.5, "top_p": 0.9, "stop": ["END"], "seed": 42}
    wanted |= {"frequency_penalty": 0.1, "presence_penalty": 0.2, "max_tokens": 77}
    assert body.items() >= wanted.items()


@EVERY_WAY
async def test_no_field_of_a_request_changes_where_it_goes_or_with_which_key(build: Build) -> None:
    """Fields travel in the JSON body, and nowhere else."""
    async with Upstream() as upstream, Upstream() as elsewhere:
        extra: dict[str, Any] = {
            "base_url": elsewhere.url,
            "openai_api_base": elsewhere.url,
            "api_key": "sk-a-strangers-key",
            "openai_api_key": "sk-a-strangers-key",
            "extra_headers": {"Authorization": "Bearer stranger"},
            "default_headers": {"Authorization": "Bearer stranger"},
            "http_client": "x",
            "http_async_client": "x",
            "timeout": 0.000001,
            "max_retries": 9,
            "organization": "strangers",
            "config": {"callbacks": "x"},
            "extra_query": {"a": "b"},
            "logit_bias": {"50256": -100},
        }
        events = await answer(build(upstream), msgspec.structs.replace(HELLO, extra=extra, carried=extra))
        assert isinstance(events[-1], Finish)
        assert (upstream.calls, elsewhere.calls) == (1, 0)
        request = upstream.requests[0]
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert "openai-organization" not in request.headers
        assert "?" not in request.path
        assert request.body.items() >= extra.items()


@EVERY_CHAT
async def test_no_unknown_field_overrides_headwaters_own(build: Build) -> None:
    """Otherwise a request could reach a model that the operator does not offer."""
    extra: dict[str, Any] = {
        "model": "dear",
        "messages": [],
        "stream": False,
        "tools": [{}],
        "max_completion_tokens": 10**6,
        "n": 1,
    }
    prompt = msgspec.structs.replace(HELLO, extra=extra, carried=extra, parameters=Parameters(max_tokens=5))
    async with Upstream() as upstream:
        await answer(build(upstream), prompt)
        body = upstream.requests[0].body
    assert (body["model"], body["stream"], body["max_tokens"]) == ("gpt-test", True, 5)
    assert body["messages"] == [{"role": "user", "content": "Hello"}]
    assert "max_completion_tokens" not in body
    assert "tools" not in body
    assert "n" not in body


@EVERY_CHAT
async def test_openai_gets_metadata_only_where_it_keeps_the_answer(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses them otherwise; compatible servers file even what they do not keep."""
    metadata = {"metadata": {"a": "1"}}
    stored = [
        msgspec.structs.replace(HELLO, carried=metadata | kept) for kept in ({}, {"store": False}, {"store": True})
    ]
    async with Upstream() as upstream:
        for at_openai in (False, True):
            monkeypatch.setattr(Account, "is_openai", at_openai)
            for prompt in stored:
                await answer(build(upstream), prompt)
        sent = ["metadata" in request.body for request in upstream.requests]
    assert sent == [True, True, True, False, False, True]


@pytest.mark.parametrize(
    ("address", "is_openai"),
    [
        (None, True),
        ("https://api.openai.com/v1/", True),
        ("https://eu.api.openai.com/v1", True),
        ("https://api.openai.com.example/v1", False),
        ("https://example/api.openai.com/v1", False),
        ("http://127.0.0.1:8080/v1", False),
    ],
)
def test_openai_itself_is_known_by_its_address(address: str | None, is_openai: bool) -> None:
    """Whole regions have an address of their own."""
    assert Account(address).is_openai is is_openai


@EVERY_CHAT
async def test_a_provider_that_has_moved_is_followed(build: Build) -> None:
    """With the same request."""
    async with Upstream(status=(307, 200), headers={"Location": "/v1/chat/completions"}) as upstream:
        assert "".join(texts(await answer(build(upstream)))) == "Hello"
        first, second = upstream.requests
    assert (first.method, first.body) == (second.method, second.body)


@EVERY_WAY
async def test_several_answers_to_one_request_are_refused(build: Build) -> None:
    """They would come interleaved."""
    async with Upstream() as upstream:
        with pytest.raises(ModelError, match="one request, one answer"):
            await answer(build(upstream), msgspec.structs.replace(HELLO, extra={"n": 2}))
        assert upstream.calls == 0


async def test_unknown_fields_are_ignored_by_other_providers() -> None:
    """Their classes have no place for them."""
    from langchain_core.language_models.fake_chat_models import FakeListChatModel

    model = LangChainModel(FakeListChatModel(responses=["Hi"]), "fake")
    assert texts(
        await answer(model, msgspec.structs.replace(HELLO, extra={"api_key": "x"}, carried={"user": "x"}))
    ) == ["H", "i"]


@pytest.mark.parametrize("provider", [through_langchain, from_name], ids=["through LangChain", "directly"])
@pytest.mark.parametrize("name", ["openai:x", "openai-completion:x"])
async def test_the_paying_organisation_is_sent(provider: Any, name: str) -> None:
    """And the project, as the operator has set them."""
    async with Upstream() as upstream:
        settings = Settings(openai_org_id="org", openai_project_id="project")  # pyright: ignore[reportCallIssue]
        await answer(provider(name, Account(upstream.url, KEY, settings.openai_headers())))
        headers = upstream.requests[0].headers
    assert (headers["openai-organization"], headers["openai-project"]) == ("org", "project")


@pytest.mark.parametrize("provider", [through_langchain, from_name], ids=["through LangChain", "directly"])
async def test_a_proxy_is_used(provider: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although LangChain reads the same variable, and refuses a proxy that is set twice."""
    async with Upstream() as proxy:
        address = proxy.url.removesuffix("/v1")
        monkeypatch.setenv("OPENAI_PROXY", address)
        with pytest.raises(ModelError, match="no route"):
            await answer(provider("openai:x", Account("http://provider.invalid/v1", KEY, {}, address)))
        assert proxy.requests[0].path == "http://provider.invalid/v1/chat/completions"


@EVERY_CHAT
async def test_what_the_provider_needs_back_is_sent_as_it_came(build: Build) -> None:
    """Beside the turn, and beside its tool calls; it never replaces a field of Headwater's own."""
    signed = {"extra_content": {"google": {"thought_signature": "abc"}}}
    own: dict[str, Any] = {
        "reasoning_content": "Hm",
        "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}],
        "prefix": True,
        "role": "user",
        "content": "mine",
        "tool_calls": [],
    }
    calls = [MessageToolCall("c1", "f", "{}", signed), MessageToolCall("c2", "f", "{}")]
    turns = [Message("user", "Hi"), Message("assistant", "See", tool_calls=calls, provider=own)]
    results = [Message("tool", "1", tool_call_id="c1"), Message("tool", "2", tool_call_id="c2")]
    last = Message("assistant", "So", provider={"prefix": True})
    async with Upstream() as upstream:
        await answer(build(upstream), Prompt(model="m", messages=[*turns, *results, last]))
        sent = upstream.requests[0].body["messages"]
    function = {"name": "f", "arguments": "{}"}
    assert sent[1] == {
        "role": "assistant",
        "content": "See",
        "reasoning_content": "Hm",
        "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}],
        "prefix": True,
        "tool_calls": [
            {"type": "function", "id": "c1", "function": function, **signed},
            {"type": "function", "id": "c2", "function": function},
        ],
    }
    assert sent[-1] == {"role": "assistant", "content": "So", "prefix": True}
