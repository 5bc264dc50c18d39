"""Server processes: start them, read CPU and memory of the process tree from `/proc`, end the tree."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


class Tree:
    """A process with its descendants."""

    def __init__(self, command: Sequence[str], port: int, environment: Mapping[str, str]) -> None:
        self.port = port
        self.started = time.monotonic()
        self.ready = 0.0
        """Seconds from the start until the server answered."""
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the tree
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )

    def cpu(self) -> float:
        """CPU time of the tree's live threads, in seconds; with 10 ms resolution where `schedstat` is missing."""
        return sum(_cpu(pid) for pid in self._pids())

    def rss(self) -> int:
        """Resident memory of the tree, in bytes."""
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE for pid in self._pids())

    def end(self) -> None:
        """Kill the whole tree; draining would only take time."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def wait_for(self, url: str | None = None, seconds: float = 60) -> None:
        """Wait until the port accepts connections and the URL, if given, answers."""
        give_up = self.started + seconds
        while time.monotonic() < give_up and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                if url is not None:
                    urllib.request.urlopen(url, timeout=5).close()
                self.ready = time.monotonic() - self.started
                return
            time.sleep(0.01)
        self.log.seek(0)
        raise RuntimeError(f"does not listen: {self._process.args}\n{self.log.read()[-3000:].decode(errors='replace')}")

    def _pids(self) -> list[int]:
        children: dict[int, list[int]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                children.setdefault(int(_fields(stat)[1]), []).append(int(stat.parent.name))
        found: list[int] = []
        queue = [self._process.pid]
        while queue:
            found.append(pid := queue.pop())
            queue += children.get(pid, [])
        return found


def free_port() -> int:
    """A port that is currently unused."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(
    command: Sequence[str], port: int, environment: Mapping[str, str], ready: str | None = None
) -> Generator[Tree, None, None]:
    """Run a command as long as the context lasts, from when its port listens and the URL `ready` answers."""
    tree = Tree(command, port, environment)
    try:
        tree.wait_for(ready)
        yield tree
    finally:
        tree.end()


def end_on_signal() -> None:
    """Exit through all open contexts at SIGTERM, so that no server is left running."""

    def leave(*_: object) -> None:
        sys.exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, leave)


def _end_with_parent() -> None:
    # Runs in the child, between fork and exec. However the benchmark ends, even by SIGKILL, the kernel sends SIGTERM to
    # the servers it started; a supervisor then ends its workers.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _fields(stat: Path) -> list[str]:
    return stat.read_text().rpartition(")")[2].split()


def _cpu(pid: int) -> float:
    process = Path(f"/proc/{pid}")
    try:
        fine = sum(int(path.read_text().split()[0]) for path in process.glob("task/*/schedstat")) / 1e9
        if fine:
            return fine
        fields = _fields(process / "stat")
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0
