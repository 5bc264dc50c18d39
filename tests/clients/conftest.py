"""The real clients, each pinned, against a running server: `make test-clients`. `make test` does not collect them.

JavaScript clients are in `package.json`, Python ones in `requirements.txt`, installed into `.venv-clients`, since their
versions may differ from what Headwater itself needs. A driver is a small program beside its test. It uses one client as
its users do, and prints one line of JSON with what it saw.
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from servers import Serving, serve
from upstream import Upstream

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".venv-clients" / "bin" / "python"

Told = dict[str, Any]


async def node(driver: str, url: str, *arguments: str) -> Told:
    """Run a JavaScript driver against the server at `url`; what it printed last."""
    return await _run("node", str(HERE / driver), url, *arguments)


async def python(driver: str, url: str, *arguments: str) -> Told:
    """Run a Python driver against the server at `url`; what it printed last."""
    return await _run(str(PYTHON), str(HERE / driver), url, *arguments)


async def _run(*command: str) -> Told:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HEADWATER_", "OPENAI_"))}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=HERE,
        env={**clean, "NODE_NO_WARNINGS": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{command[1]} failed:\n{out.decode()}{err.decode()}"
    return json.loads(out.decode().strip().rpartition("\n")[2])


@asynccontextmanager
async def offering(folder: Path, upstream: Upstream, **settings: str) -> AsyncGenerator[Serving, None]:
    """A server process whose model is the one behind `upstream`, on a store in `folder`."""
    account = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": upstream.url}
    named = {"HEADWATER_MODEL": "openai:gpt-4o-mini", "HEADWATER_ALLOWED_MODELS": "*", "HEADWATER_RETRIES": "0"}
    async with serve(folder, **{**account, **named, **settings}) as server:
        yield server


@pytest.fixture
async def upstream() -> AsyncGenerator[Upstream, None]:
    """A provider whose tokens, failures and cuts a test may choose."""
    async with Upstream(tokens=["Hello", ", ", "world"]) as provider:
        yield provider


@pytest.fixture
async def server(tmp_path: Path, upstream: Upstream) -> AsyncGenerator[Serving, None]:
    """A running server on that provider."""
    async with offering(tmp_path, upstream) as running:
        yield running


@pytest.fixture
def url(server: Serving) -> str:
    """The address of the running server."""
    return str(server.client.base_url).rstrip("/")
