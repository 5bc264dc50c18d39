"""Processes under measurement: started, watched through `/proc`, and ended with all their children."""

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
    """A process and its descendants."""

    def __init__(self, command: Sequence[str], port: int, environment: Mapping[str, str]) -> None:
        self.port = port
        self.started = time.monotonic()
        self.ready = 0.0
        """Seconds from its start until it could be asked."""
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
        """Seconds of CPU that the tree's living threads have used; without `schedstat`, to 10 ms."""
        return sum(_cpu(pid) for pid in self._pids())

    def rss(self) -> int:
        """Bytes of memory the tree holds now."""
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE for pid in self._pids())

    def end(self) -> None:
        """End the whole tree, at once: nothing it holds is wanted, and a server that drains would take its time."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def wait_for(self, url: str | None = None, seconds: float = 60) -> None:
        """Wait until it listens and, if there is one, answers at the address."""
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
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(
    command: Sequence[str], port: int, environment: Mapping[str, str], ready: str | None = None
) -> Generator[Tree, None, None]:
    """The command's process tree, once it listens on the port and answers at the address `ready`."""
    tree = Tree(command, port, environment)
    try:
        tree.wait_for(ready)
        yield tree
    finally:
        tree.end()


def end_on_signal() -> None:
    """Have a SIGTERM unwind what is open, as Ctrl-C does, so that no server is left behind."""

    def leave(*_: object) -> None:
        sys.exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, leave)


def _end_with_parent() -> None:
    # In the child, between fork and exec. However the bench ends, and be it by a SIGKILL, the kernel ends what it has
    # started, with the signal at which a supervisor ends its workers, too.
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
