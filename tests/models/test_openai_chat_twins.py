"""Our LangChain models against LangChain's own: the same requests, the same messages, the same exceptions."""

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_openai import OpenAI
from twins import TOOL, both, build, whole
from upstream import Upstream

from headwater.langchain import OpenAIWireLLM

ANSWERS: list[dict[str, Any]] = [
    {"tokens": ["Hel", "lo", "", " wörld 🌍", "\n"], "usage": (7, 3)},
    {"tokens": ["a"], "usage": None, "finish": "length"},
    {"tokens": ["a"], "finish": None},
    {"tokens": []},
    {"tokens": ["See"], "tool_calls": [("c1", "f", ['{"a":', "1}"]), ("c2", "g", ["{}"])], "finish": "tool_calls"},
    {"error_after": 1},
    {"error_after": 1, "error": {"message": "Slow down", "code": 429}},
    {"garbled_after": 1},
    {"cut_after": 1, "cut": "eof"},
    {"cut_after": 1, "cut": "rst"},
    {"status": 400},
    {"status": 400, "error": {"message": "x", "code": "context_length_exceeded"}},
    {"status": 401},
    {"status": 403},
    {"status": 404},
    {"status": 429, "headers": {"Retry-After": "7"}},
    {"status": 500},
]


@pytest.mark.parametrize("script", ANSWERS, ids=lambda script: json.dumps(script)[:60])
@pytest.mark.parametrize("output", [None, "v1"])
async def test_a_stream_is_the_same_message_or_the_same_exception(script: dict[str, Any], output: str | None) -> None:
    """Content, tool calls, usage, reason and metadata; of a failure its class, message and status."""
    async with Upstream(**script) as upstream:
        ours, theirs = await both(upstream, whole, output_version=output)
    assert ours == theirs


@pytest.mark.parametrize("script", ANSWERS, ids=lambda script: json.dumps(script)[:60])
async def test_a_completion_is_the_same_text_or_the_same_exception(script: dict[str, Any]) -> None:
    """The same for the older API."""
    found: list[Any] = []
    async with Upstream(**script) as upstream:
        for kind in (OpenAIWireLLM, OpenAI):
            try:
                found.append("".join([chunk async for chunk in build(kind, upstream).astream("Once")]))
            except Exception as failure:  # noqa: BLE001 - as above
                found.append((type(failure), str(failure)))
    assert found[0] == found[1]


SETTINGS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.3, "seed": 7, "stop": ["END"], "max_tokens": 9, "extra_body": {"top_k": 4}},
    {"organization": "org", "default_headers": {"X-Who": "me"}, "default_query": {"v": "1"}},
    {"model_kwargs": {"extra_headers": {"X-Also": "1"}, "user": "ann"}, "logit_bias": {"1": -100}},
    {"logprobs": True, "top_logprobs": 2},
]


@pytest.mark.parametrize("options", SETTINGS)
async def test_the_provider_gets_the_same_request(options: dict[str, Any]) -> None:
    """Body, path and headers, except those of the connection."""

    async def ask(model: Any) -> Any:
        return await whole(model, [SystemMessage("Be brief"), HumanMessage("Hi")], stop=["."], tools=[TOOL])

    async with Upstream() as upstream:
        ours, theirs = await both(upstream, ask, **options)
        first, second = upstream.requests
    assert ours == theirs
    if "max_completion_tokens" in second.body:  # at other addresses than OpenAI's the limit has its older name
        second.body["max_tokens"] = second.body.pop("max_completion_tokens")
    assert (first.body, first.path) == (second.body, second.path)
    technical = {"content-length", "host", "accept-encoding", "connection", "x-stainless-raw-response"}
    assert {name: value for name, value in first.headers.items() if name not in technical} == {
        name: value for name, value in second.headers.items() if name not in technical
    }


async def test_history_of_langchain_messages_goes_as_it_is() -> None:
    """No part of a message is lost."""
    message = AIMessage(content="", tool_calls=[{"name": "f", "args": {"a": 1}, "id": "c1"}])

    async def ask(model: Any) -> Any:
        return await whole(model, [HumanMessage("Hi"), message])

    async with Upstream() as upstream:
        await both(upstream, ask)
        assert upstream.requests[0].body == upstream.requests[1].body
