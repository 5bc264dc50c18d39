"""What users may import: short paths, listed here, named in the docs, and the only ones that examples use."""

import ast
import importlib
import re
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import httpx
import pytest
from serving import chat, parse, serving, text_of

from headwater import errors, principal
from headwater.log import counters, store
from headwater.log.counters import Counters
from headwater.log.memory import MemoryStore
from headwater.log.store import Documents, Store

ROOT = Path(__file__).parents[2]
EXTENDING = (ROOT / "docs" / "extending.md").read_text()

EVENTS = {
    "Ending",
    "Error",
    "Event",
    "Finish",
    "Metadata",
    "ReasoningDelta",
    "Start",
    "Stop",
    "TextDelta",
    "ToolCallDelta",
    "ToolCallEnd",
    "ToolCallStart",
    "ToolResult",
    "Usage",
}
FACE = {
    "headwater": {"Answer", "Observer", "Principal", "router"},
    "headwater.client": {
        *EVENTS,
        *("About", "Answer", "Client", "Continued", "Offset", "Patience", "SyncAnswer", "SyncClient", "ToolCall"),
        *("Expired", "HeadwaterError", "InvalidPrompt", "ModelError", "NoSuchLog", "NotCached", "NotHeadwater"),
        *("NothingListens", "RequestError", "ShuttingDown", "StoreError", "UnknownModel", "Unreachable"),
        *("Cached", "Conversation", "Message", "Saved", "Summary", "SyncConversation"),
    },
    "headwater.extending": {
        *EVENTS,
        *("Claim", "Description", "Entry", "Flush", "Lease", "Limits", "Offset", "ORIGIN", "Principal", "Receipt"),
        *("Count", "Slots", "Taken", "SLOTS", "Abandoned", "Continued", "Terms", "NO_TERMS", "LEAVES", "names_in"),
        *("Document", "DOCUMENTS", "DOCUMENT_BYTES", "MAX_DOCUMENT", "Conflict", "DocumentTooLarge", "Torn"),
        *("State", "Store", "check_offset", "is_admissible", "lost_ending", "record", "restore", "state_after"),
        *("Expired", "Fenced", "LogFull", "NoSuchLog", "OutOfSequence", "Sealed", "StoreError"),
        *("CannotContinue", "Closes", "Continues", "Counts", "Model", "ModelError", "Prepares", "Shown"),
        *("Audio", "File", "Image", "Message", "MessageToolCall", "Parameters", "Part", "Prompt", "ProviderPart"),
        *("ProviderTool", "Text", "Tool", "text_of"),
        *("Answer", "Made", "Observer", "Outcome", "Request", "Saved", "Timing", "ToolCall", "Unknown"),
    },
    "headwater.langchain": {"Cached", "ChatOpenAIWire", "HeadwaterCache", "OpenAIWireLLM", "StreamCallback"},
    "headwater.testing": {"Clock", "Harness", "SILENCE", "Scripted", "StoreContract"},
}
"""Every public name by its path. A name that leaves breaks somebody's program: CHANGELOG.md must say so."""


@pytest.mark.parametrize("path", FACE)
def test_a_public_path_offers_exactly_these_names(path: str) -> None:
    """Each can be had, and each stands in docs/extending.md."""
    module = importlib.import_module(path)

    assert set(module.__all__) == FACE[path]
    assert [name for name in FACE[path] if getattr(module, name, None) is None] == []
    assert f"`{path}`" in EXTENDING
    assert [name for name in FACE[path] if f"`{name}`" not in EXTENDING] == []


@pytest.mark.parametrize("path", FACE)
def test_a_name_that_is_not_public_is_an_attribute_error(path: str) -> None:
    """Also where names are looked up when they are first used."""
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        _ = importlib.import_module(path).nothing_of_this_name


@pytest.mark.parametrize("path", ["headwater", "headwater.extending", "headwater.testing"])
def test_a_public_path_imports_nothing_slow(path: str) -> None:
    """Neither the web framework nor LangChain, and no test library outside tests."""
    slow = ("fastapi", "langchain_core", "pytest", "hypothesis", "httpx")
    program = f"import sys, {path}; print([name for name in {slow!r} if name in sys.modules])"

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "[]"


def test_whoever_writes_a_store_can_import_all_that_its_contract_names() -> None:
    """What its methods take and return, and what the requirements of a store in docs/extending.md name."""
    methods = [each for protocol in (Store, Documents, Counters) for each in vars(protocol).values()]
    hints = [typing.get_type_hints(each) for each in methods if isinstance(each, FunctionType)]
    taken = {each.__name__ for hint in hints for kind in hint.values() for each in ours(kind)}
    section = EXTENDING.partition("## A store")[2].partition("## A model")[0]
    words = set(re.findall(r"`([A-Z]\w+)`", section))
    named = {word for word in words if any(hasattr(module, word) for module in (errors, principal, store, counters))}

    assert {"Document", "Terms"} <= taken
    assert {"Conflict", "LEAVES"} <= named
    assert (taken | named) - FACE["headwater.extending"] == set()


def ours(hint: Any) -> Iterator[type]:
    """The classes of this package in an annotation."""
    if isinstance(hint, type) and hint.__module__.startswith("headwater"):
        yield hint
    for each in typing.get_args(hint):
        yield from ours(each)


def test_the_documents_and_examples_import_public_paths_only() -> None:
    """A path in an example is a promise."""
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "src" / "headwater" / "GUIDE.md"]
    sources = [code for document in documents for code in code_blocks(document.read_text())]
    sources += [example.read_text() for example in ROOT.glob("examples/**/*.py")]
    used = {found for source in sources for found in imports(source) if found[0].partition(".")[0] == "headwater"}

    assert len(used) > 10
    assert [(path, name) for path, name in used if path not in FACE or not (name is None or name in FACE[path])] == []


async def test_the_model_of_the_documents_answers() -> None:
    """The example in docs/extending.md, as it stands there."""
    answers = await ask_twice(run(example("class Shout")))

    assert [text_of(parse(answer.content)) for answer in answers] == ["HOW ARE YOU? "] * 2
    assert answers[1].headers["cache-status"].startswith("headwater; hit")


async def test_the_observer_of_the_documents_counts() -> None:
    """The example in docs/extending.md: a miss, a hit, and the one first token between them."""
    names = run(example("class Meter"))
    await ask_twice(names)

    assert names["meter"].outcomes == {"miss": 1, "hit": 1}
    assert [seconds > 0 for seconds in names["meter"].first_tokens] == [True]


async def test_the_app_of_the_documents_keeps_answers_in_a_store_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The example in docs/extending.md, over the reference store, which the app closes and the routes do not."""
    closed: list[MemoryStore] = []

    class MyStore(MemoryStore):
        async def aclose(self) -> None:
            closed.append(self)
            await super().aclose()

    module = ModuleType("my_store")
    module.MyStore = MyStore  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "my_store", module)
    names = run(example("store = MyStore()"))
    answers = await ask_twice(names)

    assert answers[1].headers["cache-status"].startswith("headwater; hit")
    assert closed == [names["store"]]


def example(words: str) -> str:
    """The example of docs/extending.md with these words in it."""
    return next(code for code in code_blocks(EXTENDING) if words in code)


def run(code: str) -> dict[str, Any]:
    """The names that an example defines."""
    names: dict[str, Any] = {}
    exec(code, names)
    return names


async def ask_twice(names: dict[str, Any]) -> list[httpx.Response]:
    """Two equal requests to an example's app."""
    async with serving(names["app"], lifespan=True) as client:
        return [await client.post("/api/stream/completion/chat", json=chat("How are you?")) for _ in range(2)]


def test_the_store_test_of_the_documents_runs_the_contract(tmp_path: Path) -> None:
    """The example in docs/extending.md, as it stands there, over the reference store."""
    code = example("class TestMyStore")
    (tmp_path / "my_store.py").write_text("from headwater.log.memory import MemoryStore as MyStore\n")
    # A second handle on memory cannot be had; the document says what to do then.
    (tmp_path / "test_my_store.py").write_text(code.replace("peer = MyStore(limits, clock)", "peer = store"))

    options = ["-q", "-o", "asyncio_mode=auto", "-k", "TestMyStore and (retried or gap)", str(tmp_path)]
    suite = [sys.executable, "-m", "pytest", *options]
    run = subprocess.run(suite, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert re.search(r"\b[5-9] passed", run.stdout), run.stdout + run.stderr


def code_blocks(document: str) -> list[str]:
    """The Python in a document."""
    return re.findall(r"```python\n(.*?)```", document, re.DOTALL)


def imports(source: str) -> list[tuple[str, str | None]]:
    """Each path that Python source imports from, with the name it takes from there."""
    found: list[tuple[str, str | None]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [(node.module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(alias.name, None) for alias in node.names]
    return found
