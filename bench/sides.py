"""The servers that are compared, and how each is started."""

import contextlib
import shlex
import sys
import tempfile
from collections.abc import Generator
from typing import NamedTuple

from bench.processes import Tree, free_port, running


class Side(NamedTuple):
    """A server that can be asked the client's question; `{port}` in its command is where it is to listen."""

    name: str
    command: tuple[str, ...]
    path: str
    ours: bool = False
    """Whether it keeps answers and replays them: only then is there a hit to measure."""
    slow: bool = False
    """Whether one answer a stream is enough to measure it."""


class Running(NamedTuple):
    """A side that listens."""

    side: Side
    port: int
    tree: Tree


CHAT = "/api/stream/completion/chat"
SERVE = f"{sys.executable} -m headwater serve"
_UVICORN = (
    sys.executable,
    "-m",
    "uvicorn",
    "--port",
    "{port}",
    "--log-level",
    "warning",
    "--no-access-log",
    "--factory",
)

PLAIN = Side("plain FastAPI + ChatOpenAI", (*_UVICORN, "bench.peers:plain"), "/chat", slow=True)
PASSTHROUGH = Side("byte pass-through", (*_UVICORN, "bench.peers:passthrough"), "/")


def headwater(name: str, store: str, serve: str = SERVE) -> Side:
    """Headwater on one store; `serve` is how to start it, so that two builds can stand in one table."""
    return Side(name, (*shlex.split(serve), "--port", "{port}", "--store", store), CHAT, ours=True)


@contextlib.contextmanager
def upstream() -> Generator[int, None, None]:
    """The provider; gives its port."""
    port = free_port()
    with running((sys.executable, "-m", "bench.upstream", str(port)), port, {}):
        yield port


@contextlib.contextmanager
def started(side: Side, provider: int) -> Generator[Running, None, None]:
    """The side's server, over the provider."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            "OPENAI_BASE_URL": f"http://127.0.0.1:{provider}/v1",
            "OPENAI_API_KEY": "bench",
            "HEADWATER_MODEL": "openai:bench",
            "HEADWATER_DATA_DIR": folder,
        }
        command = [part.format(port=port, folder=folder) for part in side.command]
        with running(command, port, environment) as tree:
            yield Running(side, port, tree)
