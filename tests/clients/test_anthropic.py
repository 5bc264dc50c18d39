"""Anthropic's SDKs, and LangChain's classes on them, at `/v1/messages`: whole answers, failures and stops."""

import asyncio
import copy
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from clients.conftest import HERE, PYTHON, node, offering, python
from upstream import Received, Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Hello, world"
MOODS: dict[str, dict[str, Any]] = {
    "Sunny": {"tokens": ["Wear ", "a hat."]},
    "person": {"tokens": ['{"name":', '"Ann"}']},
    "tools": {
        "tokens": ["Let me look."],
        "tool_calls": [("c1", "weather", ['{"city":', '"Oslo"}']), ("c2", "weather", ['{"city":"Rome"}'])],
        "finish": "tool_calls",
    },
    "length": {"finish": "length"},
    "cut": {"cut_after": 1},
    "refused": {"status": 401},
    "retried": {"status": [503, 200]},
    "silent": {"silent_after": 1},
    "endless": {"tokens": ["Hello"] * 2000, "pace": 0.05},
    "slow": {"pace": 0.05},
    "together": {"pace": 0.2},
    "thoughtful": {"reasoning": ["Hm."]},
}
"""How the provider answers a question with one of these words."""
BROKEN = {"text": "Hello", "finish": None, "kind": "api_error"}
CITIES = [{"city": "Oslo"}, {"city": "Rome"}]


class Moody(Upstream):
    """A provider whose answer depends on the last message."""

    async def _answer(self, request: Received, number: int, writer: asyncio.StreamWriter) -> None:
        said = str(request.body["messages"][-1])
        moody = copy.copy(self)
        mood: dict[str, Any] = next((fields for word, fields in MOODS.items() if word in said), dict[str, Any]())
        vars(moody).update(mood)
        number = [each.body for each in self.requests].count(request.body)
        await Upstream._answer(moody, request, number, writer)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream() -> AsyncGenerator[Upstream, None]:
    """One provider for all tests of this file."""
    async with Moody(tokens=["Hello", ", ", "world"]) as provider:
        yield provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[str, None]:
    """One server for all tests of this file."""
    async with offering(tmp_path_factory.mktemp("anthropic"), upstream) as server:
        yield str(server.client.base_url).rstrip("/")


def asked(upstream: Upstream, question: str) -> list[Any]:
    """The requests that reached the provider with this question last."""
    return [request for request in upstream.requests if request.body["messages"][-1]["content"] == question]


async def test_anthropics_python_sdk(url: str, upstream: Upstream) -> None:
    """Synchronous and asynchronous, by iteration, by the helper, and whole."""
    told = await python("anthropic_python.py", url)

    live, cached = told["live"], told["cached"]
    assert (live["text"], live["finish"], live["usage"]) == (TEXT, "end_turn", 2)
    assert live["id"] == live["ids"] == live["at"].rpartition("/")[2]
    assert cached["text"] == TEXT
    assert cached["cache"].startswith("headwater; hit")
    assert cached["ids"] == cached["id"] != live["id"]
    assert told["whole"] == {"text": TEXT, "finish": "end_turn", "usage": 2, "same": True}
    assert told["helper"] == {"text": TEXT, "kinds": ["text"], "usage": 3}
    assert told["thinking"] == {"text": TEXT, "kinds": ["thinking", "text"], "usage": 3}
    assert len(asked(upstream, "live")) == len(asked(upstream, "together")) == 1
    assert told["length"]["finish"] == "max_tokens"
    assert told["cut"] == told["cut"] | BROKEN | {"error": "APIStatusError"}
    assert told["cut helped"]["error"] == "APIStatusError"
    assert (told["cut whole"]["error"], told["cut whole"]["status"]) == ("InternalServerError", 502)
    assert (told["refused"]["text"], told["refused"]["status"]) == ("", 502)
    assert (told["retried"]["text"], len(asked(upstream, "retried"))) == (TEXT, 2)
    assert told["stopped"] == told["stopped"] | BROKEN
    assert told["resumed"] == TEXT
    assert told["collapsed"] == [TEXT, TEXT]
    assert told["counted"] == 5
    assert told["models"] == [told["model"]] == ["openai:gpt-4o-mini"]
    await asyncio.wait_for(asked(upstream, "endless python")[0].closed.wait(), 10)


async def test_a_tool_round_trip_of_the_python_sdk(url: str, upstream: Upstream) -> None:
    """A hit has ids of its own; the follow-up reaches the provider with each result under the id of its call."""
    told = (await python("anthropic_python.py", url, "tools"))["tools"]

    assert told["inputs"] == CITIES * 2
    assert told["finish"] == ["tool_use", "tool_use"]
    assert len({*told["ids"]}) == 4
    assert told["text"] == "Wear a hat."
    _, call, *results = asked(upstream, "Sunny")[0].body["messages"]
    assert call["content"] == "Let me look."
    assert [each["id"] for each in call["tool_calls"]] == [each["tool_call_id"] for each in results] == told["ids"][:2]
    assert [each["content"] for each in results] == ["Sunny", "Sunny"]


async def test_langchains_class_for_python(url: str, upstream: Upstream) -> None:
    """With tools, thinking and structured output."""
    told = await python("anthropic_langchain.py", url)

    plain = {"text": TEXT, "finish": "end_turn", "usage": 5}
    assert told["live"] == told["cached"] == {**plain, "kinds": ["text"]}
    assert told["thinking"] == {**plain, "kinds": ["reasoning", "text"]}
    assert told["length"]["finish"] == "max_tokens"
    assert told["cut"] == {"text": "Hello", "error": "APIStatusError"}
    assert told["refused"]["error"] == "AnthropicAPIError"
    assert told["tools"] == {"inputs": CITIES, "text": "Wear a hat."}
    assert (told["parsed"], told["counted"]) == ("Ann", 5)
    assert asked(upstream, "person")[0].body["response_format"]["json_schema"]["schema"]["properties"].keys() == {
        "name"
    }


async def test_the_javascript_clients(url: str, upstream: Upstream) -> None:
    """Anthropic's SDK, and LangChain's class on it."""
    told = await node("anthropic.mjs", url)

    live = {"text": TEXT, "finish": "end_turn", "cache": "headwater; fwd=miss", "same": True}
    assert told["live"] == told["retried"] == live
    assert told["cached"] == {**live, "cache": "headwater; hit"}
    assert sorted(each["cache"] for each in told["together"])[1] == "headwater; fwd=miss; collapsed"
    assert told["whole"] == [{"type": "text", "text": TEXT}]
    assert told["helper"] == {"text": TEXT, "kinds": ["text"], "usage": 3}
    assert told["thinking"]["kinds"] == ["thinking", "text"]
    assert told["tools"] == told["langchainTools"] == {"inputs": CITIES, "text": "Wear a hat."}
    assert told["length"]["finish"] == "max_tokens"
    assert told["cut"] == told["stopped"] == live | BROKEN | {"error": "APIError"}
    assert told["cutHelped"]["error"] == "APIError"
    assert (told["refused"]["text"], told["refused"]["status"]) == ("", 502)
    assert told["aborted"] == "APIUserAbortError"
    assert told["models"] == ["openai:gpt-4o-mini"]
    assert (told["langchain"]["text"], told["langchain"]["finish"]) == (TEXT, "end_turn")
    assert told["langchainCut"] == {"text": "Hello", "error": "APIError"}
    for left in asked(upstream, "endless node") + asked(upstream, "endless aborted node"):
        await asyncio.wait_for(left.closed.wait(), 10)


PAGE = (Path(__file__).parents[2] / "docs" / "clients" / "anthropic.md").read_text()
SNIPPETS = re.findall(r"```(py|javascript)\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("language", "code"), SNIPPETS, ids=[code.split()[1] for _, code in SNIPPETS])
async def test_each_snippet_of_the_page_prints_the_answer(url: str, language: str, code: str) -> None:
    """As it stands there, but for the address."""
    command = [str(PYTHON), "-c"] if language == "py" else ["node", "--input-type=module", "-e"]
    process = await asyncio.create_subprocess_exec(
        *command, code.replace("http://localhost:8000", url), cwd=HERE, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)

    assert out.decode().strip() == TEXT
