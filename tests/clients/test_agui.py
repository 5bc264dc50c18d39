"""AG-UI's clients at `/agui`: `@ag-ui/client` of three versions and TanStack AI, from whole answers to cut ones."""

import asyncio
import dataclasses
import json
import os
import re
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from clients.conftest import HERE, node, offering
from corpus import FOLDER, TRANSCRIPTS
from upstream import Received, Upstream

from headwater.answer import fold
from headwater.events import Error, Stop

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCS = HERE.parents[1] / "docs" / "clients" / "ag-ui.md"
TEXT = "It is 4 °C."
CALLS = [("call_1", "weather", ['{"city":', '"Oslo"}']), ("call_2", "weather", ['{"city":"Rome"}'])]


@dataclasses.dataclass(kw_only=True)
class Scene(Upstream):
    """A provider that does what the question says."""

    async def _answer(self, request: Received, number: int, writer: asyncio.StreamWriter) -> None:
        messages = request.body["messages"]
        question = next(message["content"] for message in messages if message["role"] == "user")
        calls = "tool" in question and messages[-1]["role"] != "tool"
        self.tokens = [] if calls else ["It ", "is ", "4 ", "°C."]
        self.tool_calls = CALLS[: 2 if "both" in question else 1] if calls else ()
        self.finish = "tool_calls" if calls else "stop"
        self.reasoning = ["Hm, ", "cold."] if question.startswith("think") else ()
        self.pace = 0.05 if question.startswith("slow") else 0.0
        self.silent_after = 1 if question.startswith("hang") else None
        self.status = 429 if question.startswith("refuse") else 200
        self.error_after = 2 if question.startswith("error") else None
        self.cut_after = 2 if question.startswith("cut") else None
        await super()._answer(request, number, writer)

    def asked(self, question: str) -> int:
        """How often this question reached the provider."""
        return sum(str(request.body["messages"]).count(question) > 0 for request in self.requests)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncGenerator[Scene, None]:
    """One provider for all tests of this file."""
    async with Scene() as provider:
        yield provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[str, None]:
    """One server for all tests of this file."""
    async with offering(tmp_path_factory.mktemp("agui"), scene) as server:
        yield str(server.client.base_url).rstrip("/")


@pytest.mark.parametrize("client", ["@ag-ui/client", "@ag-ui/client-0.0.59", "@ag-ui/client-0.0.45"])
async def test_ag_uis_own_client(client: str, url: str, scene: Scene) -> None:
    """Whole answers, tools of the page, and every kind of broken answer: none looks whole."""
    told = await node("agui.mjs", url, str(FOLDER), client)

    live, cached, together = told["live"], told["cached"], told["together"]
    assert (live["text"], live["ended"]) == (TEXT, "RUN_FINISHED")
    assert client != "@ag-ui/client" or live["usage"] == 3  # older ones take no usage
    assert (cached["text"], cached["ended"]) == (TEXT, "RUN_FINISHED")
    assert cached["ids"] != live["ids"], "the client would merge two answers in one thread"
    assert scene.asked(f"live {client}'") == 1
    assert [each["text"] for each in together] == [TEXT, TEXT]
    assert together[0]["ids"] != together[1]["ids"]
    assert scene.asked(f"slow together {client}'") == 1
    assert (told["reasoning"]["thought"], told["reasoning"]["text"]) == ("Hm, cold.", TEXT)

    assert told["tool"]["first"]["calls"] == ['{"city":"Oslo"}']
    assert told["parallel"]["first"]["calls"] == ['{"city":"Oslo"}', '{"city":"Rome"}']
    for trip in (told["tool"], told["parallel"]):
        assert trip["first"]["ended"] == trip["second"]["ended"] == "RUN_FINISHED"
        assert trip["second"]["text"].endswith(TEXT)

    assert told["refused"]["failed"]["status"] == 429
    assert told["refused"]["failed"]["payload"]["code"] == "rate_limited"
    for broken, text, code in (
        ("failed", "It is ", "provider_error"),
        ("cut", "It is ", "provider_cut"),
        ("stopped", "It ", "stopped"),
    ):
        assert (told[broken]["text"], told[broken]["ended"], told[broken]["code"]) == (text, "RUN_ERROR", code)

    for transcript in TRANSCRIPTS:
        answer, found = fold(transcript.entries), told["verified"][transcript.name]
        broke = answer.ending.code if isinstance(answer.ending, Error) else None
        assert "failed" not in found, f"the client refuses {transcript.name}: {found}"
        assert found["text"].replace("|", "") == answer.text.replace("|", "")
        assert found.get("code") == ("stopped" if isinstance(answer.ending, Stop) else broke)
        assert found["twice"] == 0, f"{transcript.name}: messages share an id"


async def test_tanstack_ai(url: str, scene: Scene) -> None:
    """A cut connection and a closed page lose nothing, double nothing, and ask the provider nothing again."""
    told = await node("tanstack.mjs", url)

    assert (told["live"]["text"], told["live"]["status"]) == (TEXT, "ready")
    assert told["cached"]["text"] == TEXT
    assert told["cached"]["ids"][-1] != told["live"]["ids"][-1]
    assert (told["tool"]["text"], told["tool"]["parts"][1]) == (f"|{TEXT}", ["tool-call", "tool-result"])

    for name, reconnects in (("cut", 1), ("between", 1), ("often", 3), ("replayed", 1)):
        cut = told[name]
        assert (cut["text"], cut["parts"], cut["status"]) == (TEXT, [["text"], ["text"]], "ready"), name
        assert cut["requests"] == ["POST first"] + ["POST again"] * reconnects
    assert [scene.asked(f"slow cut tanstack {name}'") for name in ("one", "two", "three")] == [1, 1, 1]

    reload = told["reload"]
    assert (reload["during"]["text"], reload["during"]["parts"]) == (TEXT, [["text"], ["text"]])
    assert (reload["after"]["text"], len(reload["after"]["ids"])) == (f"{TEXT}|{TEXT}", 4)
    assert "".join(delta for delta in reload["joined"] if "_" not in delta) == TEXT
    assert (reload["joined"][0], reload["joined"][-1]) == ("RUN_STARTED", "RUN_FINISHED")
    assert reload["gets"] == ["GET"] * 4 + ["POST"]
    assert told["fresh"] == {"status": 200, "state": {"messages": [], "activeRun": None}}

    assert (told["failed"]["text"], told["failed"]["status"]) == ("It is ", "error")
    assert told["failed"]["error"].startswith("The provider failed.")
    assert told["refused"]["error"].startswith("HTTP error! status: 429")


async def run(code: str, url: str, folder: Path = HERE) -> str:
    """What a page's code prints, with the packages in a folder."""
    command = ("node", "--input-type=module", "-e", code.replace("http://127.0.0.1:8000", url))
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode().strip()


HTTP_AGENT, COPILOTKIT, TANSTACK = re.findall(r"```js\n(.*?)```", DOCS.read_text(), re.DOTALL)


@pytest.mark.parametrize("snippet", [HTTP_AGENT, TANSTACK], ids=["HttpAgent", "TanStack AI"])
async def test_the_snippets_of_the_docs(snippet: str, url: str) -> None:
    """The code works as it stands on the page."""
    assert await run(snippet, url) == TEXT


@pytest.mark.skipif("COPILOTKIT" not in os.environ, reason="COPILOTKIT=FOLDER, with @copilotkit/runtime in it")
async def test_copilotkits_runtime(url: str) -> None:
    """A run, a page that joins it afterwards, an answer that breaks off, and a refusal."""
    page = (HERE / "copilotkit.mjs").read_text()
    out = await run(COPILOTKIT + page, url, Path(os.environ["COPILOTKIT"]))
    told = json.loads(out.rpartition("\n")[2])

    for path in ("run", "connect"):
        events = told[f"{path} live kit"]
        assert "".join(event.get("delta", "") for event in events) == TEXT
        assert events[-1]["type"] == "RUN_FINISHED"
    assert "".join(event.get("delta", "") for event in told["run error kit"]) == "It is "
    assert told["run error kit"][-1]["code"] == "provider_error"
    assert told["run refuse kit"][-1]["message"].startswith("HTTP 429")
