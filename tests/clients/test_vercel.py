"""The AI SDK 5, 6 and 7 as pages use it: hooks and transports in jsdom, and the snippets of its page in the docs."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from clients.conftest import HERE, Told, node, offering
from upstream import Received, Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCS = HERE.parents[1] / "docs" / "clients" / "ai-sdk.md"
WORDS = ["It ", "is ", "4 ", "°C."]
TEXT = "".join(WORDS)
NUMBERS = [f"{number} " for number in range(20)]

each_major = pytest.mark.parametrize("major", ["5", "6", "7"])


@dataclasses.dataclass(kw_only=True)
class Scene(Upstream):
    """A provider that does what the question says."""

    async def _answer(self, request: Received, number: int, writer: asyncio.StreamWriter) -> None:
        messages = request.body.get("messages") or [{"role": "user", "content": request.body["prompt"]}]
        question = next(message["content"] for message in messages if message["role"] == "user")
        calls = question.startswith("tool") and messages[-1]["role"] != "tool"
        self.tokens = [] if calls else NUMBERS if question.startswith("slow") else WORDS
        self.tool_calls = [("call_1", "weather", ['{"city":', ' "Oslo"}'])] if calls else ()
        self.finish = "tool_calls" if calls else "stop"
        self.pace = 0.05 if question.startswith("slow") else 0.0
        self.silent_after = 2 if question.startswith("hang") else None
        self.status = 429 if question.startswith("refuse") else 200
        self.error_after = 2 if question.startswith("error") else None
        self.cut_after = 2 if question.startswith("cut") else None
        await super()._answer(request, number, writer)

    def asked(self, question: str) -> int:
        """How often this question reached the provider."""
        return sum(question in str(request.body) for request in self.requests)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncGenerator[Scene, None]:
    """One provider for all tests of this file."""
    async with Scene() as provider:
        yield provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What the pages saw: they ask one server, and resume and stop through another one on the same file."""
    folder = tmp_path_factory.mktemp("vercel")
    async with offering(folder, scene) as one, offering(folder, scene) as other:
        urls = [str(server.client.base_url).rstrip("/") for server in (one, other)]
        return await node("vercel.mjs", *urls, str(DOCS))


@each_major
async def test_whole_answers(told: Told, scene: Scene, major: str) -> None:
    """A hit has a message id of its own; a regenerated answer is the model's again."""
    chats = told[major]

    for name in ("live", "cached", "regenerated", "replacing"):
        assert (chats[name]["text"], chats[name]["status"], chats[name]["messages"]) == (TEXT, "ready", 2), name
        assert chats[name]["headwater"]["usage"] == {"input_tokens": 3, "output_tokens": 2}
    assert len({chats[name]["id"] for name in ("live", "cached", "regenerated", "replacing")}) == 4
    assert scene.asked(f"hello {major}") == 2


@each_major
async def test_a_reload_in_mid_answer_goes_on_at_another_server(told: Told, major: str) -> None:
    """The page that was closed did not end the answer, and its message keeps its id."""
    resumed = told[major]["resumed"]

    assert resumed["early"] == "streaming"
    assert (resumed["text"], resumed["status"], resumed["messages"]) == ("".join(NUMBERS), "ready", 2)
    assert resumed["id"] == resumed["first"]
    assert told[major]["nothing"] == {"status": "ready", "messages": 1}


@each_major
async def test_no_broken_answer_looks_whole(told: Told, major: str) -> None:
    """Each keeps its part, with nothing left open, and says what happened."""
    chats = told[major]

    for name in ("stopped", "replaced"):
        assert (chats[name]["status"], chats[name]["headwater"]["state"]) == ("ready", "stopped")
    assert chats["stopped"]["answer"] == {"state": "stopped"}
    for name, code in (("failed", "provider_error"), ("cut", "provider_cut")):
        assert (chats[name]["status"], chats[name]["text"]) == ("error", "It is ")
        assert chats[name]["error"].startswith("The provider")
        assert (chats[name]["headwater"]["state"], chats[name]["headwater"]["code"]) == ("failed", code)
    assert [chats[name]["open"] for name in ("stopped", "replaced", "failed", "cut")] == [0] * 4
    assert chats["refused"]["error"].startswith("The provider limits this server's rate")
    asked, stopped = chats["page"]
    assert asked == f"hang page {major}"
    assert stopped in ("It  (stopped)", "It is  (stopped)")  # as far as it had come


@each_major
async def test_a_tool_of_the_page(told: Told, scene: Scene, major: str) -> None:
    """The answer continues the message with the call, also from the cache: the later majors ask what the first did."""
    tool = told[major]["tool"]

    assert tool["kinds"] == ["step-start", "tool-weather", "data-headwater", "step-start", "text"]
    assert (tool["outputs"], tool["text"], tool["messages"]) == (["4 °C in Oslo"], TEXT, 2)
    assert scene.asked("'tool'") == 2


@each_major
async def test_completions(told: Told, major: str) -> None:
    """Both protocols; a text that breaks off breaks the connection."""
    completion = told[major]["completion"]

    assert completion["data"] == completion["text"] == {"text": TEXT}
    assert completion["brokenData"]["text"] == completion["brokenText"]["text"] == "It is "
    assert completion["brokenData"]["error"].startswith("The provider failed.")
    assert completion["brokenText"]["error"] == "terminated"
    assert completion["refused"]["error"].startswith("The provider limits this server's rate")


async def test_a_transport_that_goes_on_by_itself(told: Told) -> None:
    """Cut after five parts, it asks for the sixth; a stopped answer is an error there, and no endless loop."""
    workflow = told["workflow"]

    for how in ("ended", "torn"):
        assert (workflow[how]["text"], workflow[how]["status"]) == ("".join(NUMBERS), "ready")
        (asked,) = workflow[how]["asked"]
        assert asked == f"/api/chat/{workflow[how]['id']}/stream?startIndex=5"
    assert workflow["stopped"]["status"] == "error"
    assert workflow["stopped"]["text"] in ("It ", "It is ")  # as far as it had come when it was stopped
    assert "The answer has ended" in workflow["stopped"]["error"]


async def test_the_rewrites_of_the_docs_lead_to_the_routes(told: Told) -> None:
    """Next.js passes the page's own paths on to the server."""
    assert told["next"] == ["/api/chat/:path*", "/api/completion"]
