"""`headwater doctor`: what it finds in settings, stores and models, and in the proxies in front of a server."""

import asyncio
import gzip
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
import redis_servers
from fastapi import FastAPI
from serving import serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from upstream import Upstream

import headwater
from headwater.settings import Settings
from headwater.wiring.doctor import Finding, examine
from headwater.wiring.probe import probe
from headwater.wiring.server import server

FILES = 20_000


async def found(folder: Path, *, ask: bool = False, files: int = FILES, **settings: Any) -> dict[str, Finding]:
    """What is found with these settings; of several findings of one kind, the worst."""
    chosen = Settings(**{"data_dir": folder, "model": "echo", **settings})
    worst: dict[str, Finding] = {}
    async for finding in examine(chosen, files, ask):
        known = worst.get(finding.what)
        if known is None or _LEVELS.index(finding.level) > _LEVELS.index(known.level):
            worst[finding.what] = finding
    return worst


_LEVELS = ["ok", "warning", "fault"]


def run(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command as an operator does."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HEADWATER_", "OPENAI_"))}
    command = [sys.executable, "-m", "headwater", "doctor", *arguments]
    environment = {**clean, "HEADWATER_DATA_DIR": str(folder), "HEADWATER_MODEL": "echo", **settings}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_machine_without_faults_gets_a_line_for_each_check(tmp_path: Path) -> None:
    """The exit code is for scripts, and a mistyped setting is named with the one that was meant."""
    ran = run(tmp_path, "--ask", HEADWATER_CACHE_TLL="60")

    assert ran.returncode == 0
    assert "HEADWATER_CACHE_TLL is no setting; did you mean HEADWATER_CACHE_TTL?" in ran.stderr
    assert "echo said its first token after" in ran.stderr
    assert {"settings", "keys", "open", "store", "model"} <= {line.split()[1] for line in ran.stderr.splitlines()}


def test_a_fault_is_an_exit_code(tmp_path: Path) -> None:
    """Also one in the settings themselves."""
    (tmp_path / "file").write_text("")
    stores = {"HEADWATER_STORE": f"sqlite://{tmp_path}/file/logs.sqlite"}

    assert run(tmp_path, **stores).returncode == 1
    assert run(tmp_path, HEADWATER_PORT="many").returncode == 1


async def test_access_is_looked_at(tmp_path: Path) -> None:
    """A server that nobody can reach its metrics of, one that everybody may use, and one with no valid key."""
    keyed = await found(tmp_path, api_keys="acme:key-1")
    open_to_all = await found(tmp_path, host="0.0.0.0", insecure=True)
    closed = await found(tmp_path, keys_file=tmp_path / "none.json")
    refused = await found(tmp_path, host="0.0.0.0")
    hidden = await found(tmp_path, keys_file=tmp_path / ("k" * 300))  # a name that no system looks up

    assert keyed["keys"].level == "ok"
    assert "HEADWATER_OPERATOR_KEY" in keyed["operator key"].words
    assert (open_to_all["keys"].level, closed["keys"].level, refused["keys"].level) == ("warning", "fault", "fault")
    assert "headwater keys create" in closed["keys"].words
    assert hidden["keys"].level == "fault"
    assert "cannot be read" in hidden["keys"].words


async def test_few_open_files_are_a_warning_that_says_where_to_raise_them(tmp_path: Path) -> None:
    """Each stream takes two."""
    assert "ulimit" in (await found(tmp_path, files=256))["open files"].words


async def test_a_redis_that_may_forget_is_a_warning_and_its_clock_is_compared(tmp_path: Path) -> None:
    """As Redis is by default."""
    with redis_servers.serving(redis_servers.engines()[0]) as redis:
        as_it_is = await found(tmp_path, store=redis.url)
    unreachable = await found(tmp_path, store=redis.url)

    assert as_it_is["store"].level == as_it_is["clock"].level == "ok"
    assert "appendonly" in as_it_is["persistence"].words
    assert unreachable["store"].level == "fault"


async def test_a_model_that_cannot_be_built_or_says_nothing_is_a_fault(tmp_path: Path) -> None:
    """The words are those that clients get, with the command that helps."""
    missing = await found(tmp_path, model="anthropic:claude-x")
    async with Upstream(tokens=["a"]) as upstream:
        key: dict[str, Any] = {
            "openai_api_key": "sk-test",
            "openai_base_url": upstream.url,
            "model": "openai:gpt-4o-mini",
        }
        built = await found(tmp_path, **key)
        asked = await found(tmp_path, ask=True, **key)

    assert missing["model"].level == "fault"
    assert "pip install langchain-anthropic" in missing["model"].words
    assert built["model"].level == asked["model"].level == "ok"
    assert upstream.calls == 1


async def test_a_server_that_streams_passes(tmp_path: Path) -> None:
    """Read as its users read it."""
    settings = Settings(data_dir=tmp_path, model="echo", store="memory:")
    async with serving(server(settings).app, lifespan=True) as client:
        assert await _probed(str(client.base_url)) == {"buffering": "ok"}


async def _whole(request: Request) -> Response:
    return Response(b"data: x\n\n" * 5, media_type="text/event-stream", headers=_HEADERS)


async def _zipped(request: Request) -> Response:
    async def pieces() -> AsyncGenerator[bytes]:
        for _ in range(5):
            yield gzip.compress(b"data: x\n\n")
            await asyncio.sleep(0.15)

    headers = {**_HEADERS, "Content-Encoding": "gzip"}
    return StreamingResponse(pieces(), media_type="text/event-stream", headers=headers)


async def _page(request: Request) -> Response:
    return Response("<h1>Welcome</h1>", media_type="text/html")


_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}


@pytest.mark.parametrize(
    ("stream", "fault"),
    [(_whole, "buffering"), (_zipped, "compression"), (_page, "stream")],
    ids=lambda each: str(each),
)
async def test_what_stands_in_the_way_of_a_stream_is_a_fault(stream: Callable[..., Any], fault: str) -> None:
    """A proxy that buffers, one that compresses, and something that is no Headwater."""
    ready = Route("/readyz", _page)
    async with serving(Starlette(routes=[ready, Route("/api/stream", stream)])) as client:
        levels = await _probed(str(client.base_url))

    assert levels[fault] == "fault"


async def test_an_app_that_includes_the_routes_passes() -> None:
    """It has no `/readyz`, which belongs to `headwater serve`."""
    app = FastAPI()
    app.include_router(headwater.router(model="echo", store="memory:"), prefix="/llm")
    async with serving(app, lifespan=True) as client:
        assert await _probed(f"{client.base_url}/llm") == {"buffering": "ok"}


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://a:b:c", "127.0.0.1:9"])
async def test_an_address_where_no_server_is_is_a_fault(url: str) -> None:
    """Without a traceback."""
    assert await _probed(url) == {"server": "fault"}


async def _probed(url: str) -> dict[str, str]:
    return {finding.what: finding.level async for finding in probe(url, None)}
