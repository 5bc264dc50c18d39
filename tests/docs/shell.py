"""A reader at a terminal: runs the blocks of a document in order, and compares what they print with what it says."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)
ADDRESS = "127.0.0.1:8000"
"""Where the servers of the documents listen; the tests' listen on a free port."""


class Block(NamedTuple):
    """A fenced block: its language, the file that it is, and its text."""

    language: str
    title: str
    text: str


def blocks(document: str) -> list[Block]:
    """The fenced blocks of a document that name a language, in order."""
    return [Block(*found) for found in _BLOCK.findall(document)]


class Terminal:
    """A folder, the server that runs there, and the variables of a shell; a context manager that ends the server."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ours = {"PATH": programs, "HEADWATER_PORT": str(self.port), "UVICORN_PORT": str(self.port), "COLUMNS": "200"}
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("HEADWATER_", "OPENAI_"))}
        self.environment = {**clean, **ours, **settings}
        self._server: subprocess.Popen[str] | None = None

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def write(self, name: str, text: str) -> None:
        """Create a file of the document."""
        (self.folder / name).write_text(self._here(text))

    def start(self, command: str) -> None:
        """End the server that runs, start this one, and wait until it listens."""
        self.end()
        with (self.folder / "server.log").open("a") as log:
            self._server = subprocess.Popen(
                command.split(), cwd=self.folder, env=self.environment, stdout=log, stderr=log, text=True
            )
        limit = time.monotonic() + 60
        while time.monotonic() < limit:
            assert self._server.poll() is None, (self.folder / "server.log").read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"{command} does not listen: {(self.folder / 'server.log').read_text()}")

    def run(self, commands: str) -> str:
        """What a block of commands prints, in a shell that remembers its variables from one block to the next."""
        script = f"[ -f variables ] && . ./variables\n{self._here(commands)}\ndeclare -p LOG ID >variables 2>/dev/null"
        shell = ["bash", "-c", script]
        run = subprocess.run(shell, cwd=self.folder, env=self.environment, capture_output=True, check=False, timeout=60)
        return run.stdout.decode().replace("\r\n", "\n")

    def end(self) -> None:
        """Press Ctrl-C in the server's terminal."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            try:
                self._server.wait(15)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
            self._server = None

    def _here(self, text: str) -> str:
        return text.replace(ADDRESS, f"127.0.0.1:{self.port}")


def shows(expected: str, printed: str) -> bool:
    """Whether a document shows what was printed; `…` stands for anything in a line, alone in a line for any lines."""
    lines = [
        r"(?:.*\n)*?" if line == "…" else r".*".join(map(re.escape, line.split("…"))) + r"\n"
        for line in expected.rstrip("\n").split("\n")
    ]
    return re.fullmatch("".join(lines) + r"\n*", printed.rstrip("\n") + "\n") is not None
