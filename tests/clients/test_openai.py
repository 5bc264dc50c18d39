"""OpenAI's SDKs, and what is built on them, at `/v1`: what each makes of whole answers, failures and stops."""

import asyncio
import re
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from clients.conftest import HERE, node, offering, python
from upstream import Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Hello, world"
MOODS: dict[str, dict[str, Any]] = {
    "counted": {"usage": (7, 5)},
    "person": {"tokens": ['{"name":', '"Ann"}']},
    "tools": {"tokens": [], "tool_calls": [("c1", "weather", ['{"city":', '"Oslo"}'])], "finish": "tool_calls"},
    "length": {"finish": "length"},
    "cut": {"cut_after": 1},
    "error": {"error_after": 1},
    "failed": {"status": 500},
    "refused": {"status": 401},
    "retried": {"status": [503, 200]},
    "silent": {"silent_after": 1},
    "endless": {"silent_after": 1},
    "slow": {"pace": 0.05},
    "together": {"pace": 0.2},
    "thoughtful": {"reasoning": ["Hm."]},
}
"""How the provider answers a question with one of these words."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream() -> AsyncGenerator[Upstream, None]:
    """One provider for all tests of this file."""
    async with Upstream(tokens=["Hello", ", ", "world"], moods=MOODS) as provider:
        yield provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[str, None]:
    """One server for all tests of this file."""
    async with offering(tmp_path_factory.mktemp("openai"), upstream) as server:
        yield str(server.client.base_url).rstrip("/")


def asked(upstream: Upstream, word: str) -> list[Any]:
    """The requests that reached the provider, of all whose last message has this word."""
    return [each for each in upstream.requests if word in str(each.body.get("messages", [""])[-1])]


async def test_the_python_sdk(url: str, upstream: Upstream) -> None:
    """Every way in which it reads: a loop, its helper, a parsed object; and every way in which an answer may end."""
    told = await python("openai_python.py", url)

    for each in ("live", "cached", "counted", "retried"):
        assert (told[each]["text"], told[each]["finish"]) == (TEXT, "stop")
        assert told[each]["at"] == f"/api/streams/{told[each]['id']}"
        assert told[each]["ids"] == told[each]["id"]
    assert told["cached"]["cache"].startswith("headwater; hit")
    assert (told["live"]["usage"], told["counted"]["usage"]) == (None, 12)
    assert told["whole"] == {"text": TEXT, "usage": 5}
    assert (told["helper"]["text"], told["tools"]["calls"], told["parsed"]) == (TEXT, ['{"city":"Oslo"}'], "Ann")
    assert (told["completion"], told["resumed"], told["collapsed"]) == (TEXT, TEXT, [TEXT, TEXT])
    assert (told["length"]["finish"], told["length helped"]["error"]) == ("length", "LengthFinishReasonError")
    for each, code in (("cut", "provider_cut"), ("stopped", "stopped")):
        assert (told[each]["text"], told[each]["error"], told[each]["code"]) == ("Hello", "APIError", code)
        assert told[each]["finish"] is None
    assert told["cut helped"]["error"] == "APIError"
    assert told["cut whole"] == {"error": "InternalServerError", "code": "provider_cut"}
    assert [told[each]["code"] for each in ("failed", "refused")] == ["provider_error", "provider_auth"]
    assert (told["models"], told["model"]) == (["openai:gpt-4o-mini"], "openai:gpt-4o-mini")
    words = ("live", "together", "failed", "refused", "retried")
    found = {word: len(asked(upstream, f"{word} python")) for word in words}
    assert found == {"live": 1, "together": 1, "failed": 3, "refused": 1, "retried": 2}
    async with asyncio.timeout(20):
        await asked(upstream, "endless python")[0].closed.wait()


async def test_four_majors_of_the_javascript_sdk(url: str, upstream: Upstream) -> None:
    """By a loop and by its helper; a reader who breaks off or aborts ends the provider's answer too."""
    told = await node("openai.mjs", url)

    assert told.keys() == {"4", "5", "6", "7"}
    for major, saw in told.items():
        for each in ("live", "counted", "retried", "cached"):
            assert (saw[each]["text"], saw[each]["finish"], saw[each]["same"]) == (TEXT, "stop", True)
        assert (saw["cached"]["cache"], saw["counted"]["usage"], saw["whole"]) == ("headwater; hit", 12, TEXT)
        assert (saw["helper"]["text"], saw["tools"]["calls"]) == (TEXT, ['{"city":"Oslo"}'])
        assert saw["length"]["finish"] == "length"
        for each, code in (("cut", "provider_cut"), ("stopped", "stopped")):
            assert (saw[each]["text"], saw[each]["error"], saw[each]["code"]) == ("Hello", "APIError", code)
        assert saw["cutHelped"]["code"] == "provider_cut"
        assert saw["refused"]["code"] == "provider_auth"
        assert [each["text"] for each in saw["together"]] == [TEXT, TEXT]
        found = {word: len(asked(upstream, f"{word} {major}")) for word in ("live", "together", "refused", "retried")}
        assert found == {"live": 1, "together": 1, "refused": 1, "retried": 2}
        async with asyncio.timeout(20):
            for word in ("endless", "endless aborted"):
                await asked(upstream, f"{word} {major}")[0].closed.wait()


async def test_langchain_and_the_agents_sdk(url: str, upstream: Upstream) -> None:
    """Whole answers, structured ones and tool calls; a part never looks whole."""
    told = await python("openai_frameworks.py", url)

    for each in ("live", "cached", "counted"):
        assert (told[each]["text"], told[each]["finish"]) == (TEXT, "stop")
    assert told["counted"]["usage"]["total_tokens"] == 5
    assert len(asked(upstream, "langchain")) == 1
    assert told["length"]["finish"] == "length"
    assert (told["cut"]["text"], told["cut"]["error"]) == ("Hello", "APIError")
    assert told["refused"]["error"]
    assert (told["calls"], told["parsed"]) == ([["weather", {"city": "Oslo"}]], "Ann")
    assert (told["agent"]["text"], told["agent tools"]["text"]) == (TEXT, TEXT)
    assert told["agent cut"]["error"] == "APIError"


async def test_langchain_for_javascript_and_the_provider_of_the_ai_sdk(url: str) -> None:
    """With reasoning, which both read by convention."""
    told = await node("openai_frameworks.mjs", url)

    for each in ("langchain", "aisdk"):
        assert told[each] | {"parts": None} == {
            "text": TEXT,
            "finish": "stop",
            "usage": 5,
            "reasoning": "Hm.",
            "parts": None,
        }
        assert told[f"{each}Length"]["finish"] == "length"
        assert told[f"{each}Cut"]["text"] == "Hello"
    assert told["langchainCut"]["error"] == "APIError"
    assert ("error" in told["aisdkCut"]["parts"], told["aisdkCut"]["finish"]) == (True, "error")
    assert (told["aisdkTools"]["call"], told["aisdkObject"]) == ({"city": "Oslo"}, {"name": "Ann"})


@pytest.mark.parametrize("heading", ["Node", "AI SDK"])
async def test_a_snippet_of_the_page_runs_as_it_is_pasted(heading: str, url: str) -> None:
    """It prints the answer."""
    page = (HERE.parents[1] / "docs" / "clients" / "openai.md").read_text()
    found = re.search(rf"## {heading}\n.*?```javascript\n(.*?)```", page, re.DOTALL)
    assert found
    program = HERE / f"{heading.replace(' ', '-').lower()}.snippet.mjs"
    told = "\nconsole.log(JSON.stringify({ ended: true }));\n"
    program.write_text(found[1].replace("http://localhost:8000", url) + '\nconsole.log("");' + told)
    try:
        assert await node(program.name, url) == {"ended": True}
    finally:
        program.unlink()
