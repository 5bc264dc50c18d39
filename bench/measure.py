"""One figure at a time: CPU per token, first-token time, hits, readers, memory per open stream."""

import contextlib
import json
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Generator
from typing import Any, NamedTuple

from bench.client import Load
from bench.sides import Running

PATIENCE = 240
"""Seconds that a load may take at most."""


USUAL = 8
"""Milliseconds between tokens, as from a fast hosted model."""


class Shape(NamedTuple):
    """How many streams at once, how many tokens each, how fast; named as the table's row."""

    streams: int
    tokens: int
    pace: int = 0
    answers: int = 1
    """One after the other in each stream, so that the CPU of a few can be told from nothing."""
    delays: bool = False
    """Whether it is told, too, how long its tokens were under way."""

    @property
    def name(self) -> str:
        """E.g. `burst 32×500`; a pace that is not the usual one stands in it too, as tokens a second."""
        kind = "paced" if self.pace else "burst"
        speed = f", {1000 // self.pace}/s" if self.pace not in (0, USUAL) else ""
        return f"{kind} {self.streams:,}×{self.tokens:,}{speed}"


class Cost(NamedTuple):
    """What a load cost."""

    server: float
    """Microseconds of the server's CPU for each token."""
    engine: float | None
    """Likewise of its Redis, if it has one."""
    pace: float | None
    """Percent of the pace that was reached over the whole load, from the first question to the last token."""
    seen: dict[str, Any]
    """What the client saw."""


class Broken(Exception):
    """A side did not answer as it should; a figure measured then would be a lie."""


def _command(load: Load) -> tuple[str, ...]:
    return (sys.executable, "-m", "bench.client", json.dumps(load._asdict()))


def _whole(told: bytes) -> dict[str, Any]:
    seen: dict[str, Any] = json.loads(told or b'{"broken": ["the client said nothing"]}')
    if seen.get("broken"):
        raise Broken(seen["broken"])
    return seen


def apply(load: Load) -> dict[str, Any]:
    """Run the client, and give what it saw. Raises `Broken` when an answer was not whole, or did not come."""
    try:
        return _whole(subprocess.run(_command(load), capture_output=True, check=False, timeout=PATIENCE).stdout)
    except subprocess.TimeoutExpired as error:
        raise Broken(f"no answer within {PATIENCE} s") from error


def asked(running: Running, shape: Shape, same: str = "") -> Load:
    """The load of that shape on that side."""
    side = running.side
    return Load(running.port, side.path, shape.streams, shape.answers, shape.tokens, shape.pace, same, side.extra)


def cost(running: Running, load: Load) -> Cost:
    """What each token costs on its way from the provider to the client."""
    meter = _Meter(running)
    seen = apply(load)
    server, engine = meter.read()
    asked_for = load.answers * load.tokens * load.pace / 1000
    pace = 100 * asked_for / seen["seconds"] if load.pace > 0 else None
    return Cost(server / seen["tokens"], None if engine is None else engine / seen["tokens"], pace, seen)


def delivery(running: Running, readers: int, tokens: int, pace: int) -> float:
    """Microseconds of CPU for each token that one generation delivers to each of its readers.

    They all read before it goes on: what it costs to let them in is another figure, and no token's.
    """
    load = asked(running, Shape(readers, tokens, pace), same=secrets.token_hex(8))._replace(hold=True, parked=True)
    with held(load) as client:
        meter = _Meter(running)
        assert client.stdin is not None
        assert client.stdout is not None
        _release(running.provider)
        client.stdin.write(b"\n")
        client.stdin.flush()
        seen = _whole(client.stdout.read())
        server, _ = meter.read()
    return server / (seen["tokens"] - readers)


def kept(running: Running) -> int | None:
    """Bytes that the side's Redis has in use, by its own account."""
    if running.engine is None:
        return None
    with socket.create_connection(("127.0.0.1", running.engine.port)) as connection:
        connection.sendall(b"INFO memory\r\n")
        told = b""
        while not (used := re.search(rb"used_memory:(\d+)\r\n", told)):
            told += connection.recv(4096)
    return int(used[1])


def rss_per_stream(running: Running, streams: int, same: str = "") -> float:
    """Kilobytes that each open, silent stream adds: each a generation, or all readers of the `same` one."""
    before = running.tree.rss()
    with held(asked(running, Shape(streams, 1, -1), same)._replace(hold=True)):
        return (running.tree.rss() - before) / streams / 1000


@contextlib.contextmanager
def held(load: Load) -> Generator[subprocess.Popen[bytes], None, None]:
    """The client, once all its streams have their first token."""
    with subprocess.Popen(_command(load), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        if (said := client.stdout.readline()) != b"held\n":
            client.kill()
            raise Broken(f"streams did not open: {said.decode()}")
        yield client


class _Meter:
    """The CPU that a server, and its engine, have used since this was made."""

    def __init__(self, running: Running) -> None:
        self._server, self._engine = running.tree, running.engine
        self._before = self._now()

    def read(self) -> tuple[float, float | None]:
        """Microseconds of each; none for an engine that is not there."""
        server, engine = self._now()
        before, engine_before = self._before
        return (server - before) * 1e6, (engine - engine_before) * 1e6 if self._engine else None

    def _now(self) -> tuple[float, float]:
        return self._server.cpu(), self._engine.cpu() if self._engine else 0.0


def _release(provider: int) -> None:
    """Have the provider go on with the answers that it holds back."""
    with socket.create_connection(("127.0.0.1", provider)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 7\r\n\r\nrelease")
        connection.recv(1000)
