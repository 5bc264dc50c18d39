"""The servers that are compared, and how each is started."""

import contextlib
import os
import shlex
import sys
import tempfile
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench import proxies
from bench.peers import FRAME
from bench.processes import Tree, free_port, running

NONE: Mapping[str, Any] = {}


class Side(NamedTuple):
    """A server to measure.

    Its command, environment and files may contain the placeholders `{port}`, `{provider}`, `{folder}` and `{redis}`.
    """

    name: str
    command: tuple[str, ...]
    path: str
    extra: Mapping[str, Any] = NONE
    """Fields of the request body besides the messages."""
    form: str = ""
    """The form of the request body; see `bench.client.Load`."""
    hits: str = ""
    """Path that replays a stored answer; empty if the server cannot."""
    ours: bool = False
    environment: Mapping[str, str] = NONE
    files: Mapping[str, str] = NONE
    few: bool = False
    """Whether it is measured under a few loads only: it is slow, or there for one comparison."""
    slow: bool = False
    """Whether it gets a quarter of the answers, because it is slow."""
    idle: bool = True
    """Whether the memory of ten thousand open streams is measured; never with `few`."""
    provider: bool = True
    """Whether it streams from the provider."""
    workers: int = 1


class Running(NamedTuple):
    """A running server."""

    side: Side
    port: int
    tree: Tree
    provider: int
    engine: Tree | None = None
    """The server's own Redis, if it has one."""
    placeholders: Mapping[str, str] = {}
    """What the placeholders in the side's command stood for."""


CHAT = "/api/stream/completion/chat"
HEALTH = "/healthz"
SERVE = f"{sys.executable} -m headwater serve"

OURS = {"HEADWATER_MODEL": "openai:bench", "HEADWATER_DATA_DIR": "{folder}", "HEADWATER_OPENAI_WIRE": "true"}
"""Environment of every Headwater server."""

_UVICORN = "-m uvicorn --port {port} --log-level warning --no-access-log --factory"
_GRANIAN = "-m granian --port {port} --interface asgi --log-level warning --loop uvloop --backpressure 16384 --factory"


def _app(server: str, app: str) -> tuple[str, ...]:
    return (sys.executable, *server.split(), app)


def headwater(name: str, store: str, serve: str = SERVE, **given: Any) -> Side:
    """Headwater on one store; `serve` is the command, so that two builds can be compared in one table."""
    command = (*shlex.split(serve), "--port", "{port}", "--store", store)
    return Side(name, command, CHAT, hits=CHAT, ours=True, **given)


MEMORY = headwater("headwater, memory", "memory:")
# Memory of idle streams is measured on the memory store only: ten thousand open logs in a shared store would send two
# thousand heartbeats a second. `bench.stores` measures those.
SQLITE = headwater("headwater, sqlite", "sqlite:///{folder}/logs.sqlite", idle=False)
REDIS = headwater("headwater, redis", "{redis}", idle=False)
_TWO = f"{SERVE} --workers 2"
TWO = headwater("headwater, sqlite, 2 workers", "sqlite:///{folder}/logs.sqlite", _TWO, few=True, workers=2)
TWO_REDIS = headwater("headwater, redis, 2 workers", "{redis}", _TWO, few=True, workers=2)
LANGCHAIN = headwater(
    "headwater, memory, through LangChain",
    "memory:",
    few=True,
    slow=True,
    environment={"HEADWATER_OPENAI_WIRE": "false"},
)
OPENAI, AI_SDK, AG_UI = (
    headwater(f"headwater, memory, {name}", "memory:", few=True)._replace(path=path, hits=path, extra=extra, form=form)
    for name, path, extra, form in (
        ("/v1", "/v1/chat/completions", {"stream": True}, ""),
        ("AI SDK", "/api/chat", NONE, "ai-sdk"),
        ("AG-UI", "/agui", NONE, "ag-ui"),
    )
)
PASSTHROUGH = Side("aiohttp → ASGI, bytes", _app(_UVICORN, "bench.peers:passthrough"), "/")
# The cost of sharing a load between workers, without Headwater.
PASSTHROUGH_TWO = Side(
    "aiohttp → ASGI, bytes, 2 workers",
    _app(f"{_UVICORN} --workers 2", "bench.peers:passthrough"),
    "/",
    few=True,
    workers=2,
)
BARE = Side("bare ASGI, no provider", _app(_UVICORN, "bench.peers:bare"), "/", hits="/", provider=False)
PLAIN = Side("FastAPI + ChatOpenAI", _app(_UVICORN, "bench.peers:plain"), "/chat", few=True, slow=True)


def nginx() -> Side:
    """nginx as a pass-through proxy; a hit is a static file. Raises `proxies.Absent`."""
    config = proxies.NGINX_CONFIG.replace("{user}", "user root;" if os.geteuid() == 0 else "")
    files = {"nginx.conf": config, "stored": FRAME.decode() * 300}
    return Side("nginx", proxies.nginx(), "/v1/chat/completions", hits="/stored", files=files)


def litellm() -> Side:
    """LiteLLM's proxy with one worker. Raises `proxies.Absent`."""
    return Side(
        "LiteLLM proxy",
        proxies.litellm(),
        "/v1/chat/completions",
        extra={"model": "bench", "stream": True},
        environment=proxies.LITELLM_ENVIRONMENT,
        files={"litellm.yaml": proxies.LITELLM_CONFIG},
        few=True,
        slow=True,
    )


def servers() -> list[Side]:
    """The same three apps on uvicorn and on granian. Raises `proxies.Absent`."""
    path = os.pathsep.join([str(proxies.granian()), os.environ.get("PYTHONPATH", "")])
    found: list[Side] = []
    for name, line in (("uvicorn", _UVICORN), ("granian", _GRANIAN)):
        there = {"PYTHONPATH": path, **OURS, "HEADWATER_STORE": "memory:"}
        found += [
            Side(f"{name}: bare", _app(line, "bench.peers:bare"), "/", hits="/", environment=there, provider=False),
            Side(f"{name}: bytes", _app(line, "bench.peers:passthrough"), "/", environment=there),
            Side(
                f"{name}: headwater",
                _app(line, "bench.peers:headwater"),
                CHAT,
                hits=CHAT,
                ours=True,
                environment=there,
            ),
        ]
    return found


@contextlib.contextmanager
def upstream() -> Generator[int, None, None]:
    """Run the provider; yields its port."""
    port = free_port()
    with running((sys.executable, "-m", "bench.upstream", str(port)), port, {}):
        yield port


@contextlib.contextmanager
def started(side: Side, provider: int) -> Generator[Running, None, None]:
    """Run a server that streams from the provider."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        engine, address = stack.enter_context(_redis()) if "{redis}" in side.command else (None, "")
        known = {"provider": str(provider), "folder": folder, "redis": address}
        yield stack.enter_context(_serving(side, known, engine))


def another(one: Running) -> contextlib.AbstractContextManager[Running]:
    """Run a further server of the same side on the same store."""
    return _serving(one.side, one.placeholders, one.engine)


@contextlib.contextmanager
def _serving(side: Side, known: Mapping[str, str], engine: Tree | None) -> Generator[Running, None, None]:
    port = free_port()
    known = {**known, "port": str(port)}
    for name, text in side.files.items():
        (Path(known["folder"]) / name).write_text(_filled(text, known))
    given = {
        "OPENAI_BASE_URL": "http://127.0.0.1:{provider}/v1",
        "OPENAI_API_KEY": "bench",
        **(OURS if side.ours else {}),
        **side.environment,
    }
    environment = {name: _filled(value, known) for name, value in given.items()}
    command = [_filled(part, known) for part in side.command]
    with running(command, port, environment, ready=_ready(port) if side.ours else None) as tree:
        yield Running(side, port, tree, int(known["provider"]), engine, known)


def _ready(port: int) -> str:
    return f"http://127.0.0.1:{port}{HEALTH}"


def _filled(text: str, known: Mapping[str, str]) -> str:
    # Not str.format: configuration files contain braces.
    for name, value in known.items():
        text = text.replace(f"{{{name}}}", value)
    return text


@contextlib.contextmanager
def _redis() -> Generator[tuple[Tree, str], None, None]:
    """Run a Redis (or Valkey) without persistence; yields its process tree and its URL."""
    port = free_port()
    options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
    with running((proxies.redis_path(), *options), port, {}) as tree:
        yield tree, f"redis://127.0.0.1:{port}/0"
