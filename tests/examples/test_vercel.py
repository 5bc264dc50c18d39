"""The Vercel example: built by `vercel build`, its function started through Vercel's own Python runtime."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from readme import ROOT, blocks, run
from serving import chat, frames, parse, post_chat, text_of
from upstash_double import UpstashDouble, upstash_double
from upstream import Upstream
from vercel_runtime import Function, Instance, instance, laid_out

VERCEL = ROOT / "examples" / "vercel"
ASSEMBLE, BUILD = blocks(VERCEL / "README.md")[:2]
LIMIT = 13.0
"""Seconds that the platform lets a request run, in these tests."""

pytestmark = pytest.mark.timeout(420)  # the first test builds the app


@pytest.fixture(scope="session")
def python() -> str:
    """A Python that Vercel's builder takes."""
    names = ("python3.14", "python3.13", "python3.12")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    installed = [*map(shutil.which, names), *(str(path) for name in names for path in pyenv.glob(f"*/bin/{name}"))]
    found = next((each for each in installed if each and _works(each)), None)
    if found is None:
        pytest.skip(f"Vercel's builder needs Python 3.12 or newer, and there is no {', '.join(reversed(names))} here")
    return found


@pytest.fixture(scope="session")
def project(path: str, python: str) -> Generator[Path, None, None]:
    """The app, put together and built by the README's commands; it is large, and goes with the session."""
    tools = os.pathsep.join([str(Path(python).parent), str(ROOT / ".venv" / "bin"), path])
    with tempfile.TemporaryDirectory(prefix="vercel") as folder:
        place = f"{folder}/chat"
        for commands in (ASSEMBLE, BUILD):
            run(commands.replace("../chat", place), PATH=tools)
        yield Path(place)


@pytest.fixture(scope="session")
def function(project: Path, python: str) -> Function:
    """The function as the platform would have it on its disk."""
    built = project / ".vercel" / "output" / "functions" / "api" / "index.func"
    return laid_out(project, built, project.with_name("task"), python)


@pytest.fixture(scope="module")
def upstash() -> Generator[UpstashDouble, None, None]:
    """The database that all instances share."""
    with upstash_double() as double:
        yield double


@asynccontextmanager
async def instances(
    function: Function, upstash: UpstashDouble, upstream: Upstream
) -> AsyncGenerator[tuple[Instance, Instance], None]:
    """Two instances, as Vercel starts them under load, with the environment variables that the README names."""
    settings = {
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": upstream.url,
        "UPSTASH_REDIS_REST_URL": upstash.url,
        "UPSTASH_REDIS_REST_TOKEN": upstash.token,
        "HEADWATER_LIFETIME": str(LIMIT),
        "HEADWATER_LEASE": "1.5",
    }
    async with AsyncExitStack() as stack:
        starting = [stack.enter_async_context(instance(function, **settings)) for _ in range(2)]
        first, second = await asyncio.gather(*starting)
        yield first, second


def test_the_limit_in_the_app_is_the_platforms() -> None:
    """An answer would otherwise be killed before it ends, or end too early."""
    configured = json.loads((VERCEL / "vercel.json").read_text())["functions"]["api/index.py"]["maxDuration"]
    assert f'"HEADWATER_LIFETIME", "{configured}"' in (VERCEL / "api" / "index.py").read_text()


def test_the_build_has_the_pages_and_a_function_that_vercel_accepts(project: Path, function: Function) -> None:
    """It streams, it may run as long as `vercel.json` says, it is small enough, and `/api` leads to it."""
    configured = json.loads((VERCEL / "vercel.json").read_text())["functions"]["api/index.py"]
    output = project / ".vercel" / "output"
    routes = json.loads((output / "config.json").read_text())["routes"]
    to_function = [each["src"] for each in routes if each.get("dest", "").startswith("/api/index")]

    assert function.config["supportsResponseStreaming"]
    assert function.config["maxDuration"] == configured["maxDuration"]
    assert function.size < 250_000_000
    assert any(re.fullmatch(pattern, "/api/stream/completion/chat") for pattern in to_function)
    assert all((output / "functions" / f"{page}.prerender-fallback.html").is_file() for page in ("index", "plain"))


def test_a_commit_of_the_project_has_headwaters_packages(project: Path) -> None:
    """Vercel builds what is in the repository, and uv writes a .gitignore beside what it builds."""
    git = ["git", f"--git-dir={project.with_name('git')}", f"--work-tree={project}"]
    subprocess.run([*git, "init", "-q"], check=True)
    adding = [*git, "add", "--dry-run", "vendor"]
    added = subprocess.run(adding, cwd=project, check=True, capture_output=True, text=True)

    assert len(re.findall(r"add 'vendor/headwater-.*\.(?:tgz|whl)'", added.stdout)) == 3


async def test_an_answer_streams_and_a_second_instance_has_it(function: Function, upstash: UpstashDouble) -> None:
    """The tokens come one by one; after the first instance is gone, another one resumes the log and replays it."""
    async with Upstream(tokens=["One", " two"], gated=True) as upstream:
        async with instances(function, upstash, upstream) as (first, second):
            async with first.client.stream("POST", "/api/stream/completion/chat", json=chat("count")) as response:
                read = frames(response)
                seen = [await anext(read)]
                for _ in range(2):
                    upstream.release()
                    seen.append(await anext(read))
                rest = [frame async for frame in read]
            await first.kill()
            resumed = await second.client.get(response.headers["location"], headers={"last-event-id": seen[1].id or ""})
            again = await post_chat(second.client, "count")

    assert [frame.get("text") for frame in seen[1:]] == ["One", " two"]
    assert [frame["type"] for frame in rest] == ["finish"]
    assert [frame["type"] for frame in parse(resumed.content)] == ["text-delta", "finish"]
    assert text_of(parse(resumed.content)) == " two"
    assert again.headers["cache-status"].startswith("headwater; hit")
    assert upstream.calls == 1


async def test_an_answer_ends_before_the_platform_ends_its_request(function: Function, upstash: UpstashDouble) -> None:
    """Its reader learns that it may ask again; the log is sealed, and another instance tells the same."""
    async with Upstream(tokens=["One", " two"], gated=True) as upstream:
        async with instances(function, upstash, upstream) as (first, second):
            begun = time.monotonic()
            upstream.release()
            response = await post_chat(first.client, "something long")
            took = time.monotonic() - begun
            await first.kill()
            found = await second.client.get(response.headers["location"], headers={"accept": "application/json"})
            upstream.gated = False
            again = await post_chat(second.client, "something long")

    ending, state = parse(response.content)[-1], found.json()
    assert text_of(parse(response.content)) == "One"
    assert (ending["type"], ending["code"], ending["retryable"]) == ("error", "shutdown", True)
    assert took < LIMIT - 5
    assert (state["state"], state["text"], state["ending"]["code"]) == ("failed", "One", "shutdown")
    assert text_of(parse(again.content)) == "One two"


async def test_the_answer_of_an_instance_that_is_frozen_goes_on_at_another(
    function: Function, upstash: UpstashDouble
) -> None:
    """Its lease lapses, another instance goes on, and when it is thawed it writes nothing more into the log."""
    async with Upstream(tokens=["One", " two"], gated=True, continues="flags") as upstream:
        async with instances(function, upstash, upstream) as (frozen, other):
            async with frozen.client.stream("POST", "/api/stream/completion/chat", json=chat("freeze")) as response:
                upstream.release()
                read = frames(response)
                assert [(await anext(read))["type"] for _ in range(2)] == ["start", "text-delta"]
                frozen.process.send_signal(signal.SIGSTOP)
                upstream.gated = False
                elsewhere = parse((await other.client.get(response.headers["location"])).content)
                frozen.process.send_signal(signal.SIGCONT)
                upstream.release()
                here = [frame async for frame in read]
            next_one = await post_chat(frozen.client, "another question")

    assert text_of(elsewhere) == "One two"
    assert [frame["type"] for frame in elsewhere].count("continued") == 1
    assert here[-1]["type"] == "finish"
    assert text_of(parse(next_one.content)) == "One two"


def _works(python: str) -> bool:
    """Whether it is a Python, and not the shim of one that is not selected."""
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
