"""The measurements: CPU per token, delivery to many readers, memory per open stream, memory in Redis."""

import contextlib
import http.client
import json
import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from typing import Any, NamedTuple

from bench.client import Load
from bench.sides import Running

PATIENCE = 240
"""Time limit of a load, in seconds."""


USUAL = 8
"""Milliseconds between tokens, as from a fast hosted model."""


class Shape(NamedTuple):
    """A load's shape: concurrent streams, tokens per answer, pace in milliseconds per token (0: all at once)."""

    streams: int
    tokens: int
    pace: int = 0
    answers: int = 1
    """Answers per stream, one after the other: more of them make a small CPU time measurable."""
    delays: bool = False
    """Whether the delay of its tokens is reported."""

    @property
    def name(self) -> str:
        """The name in tables, such as `burst 32×500`; an unusual pace is added as tokens per second."""
        kind = "paced" if self.pace else "burst"
        speed = f", {1000 // self.pace}/s" if self.pace not in (0, USUAL) else ""
        return f"{kind} {self.streams:,}×{self.tokens:,}{speed}"


class Cost(NamedTuple):
    """The result of a load."""

    server: float
    """CPU of the server per token, in microseconds."""
    engine: float | None
    """CPU of its Redis per token, in microseconds; None without a Redis."""
    pace: float | None
    """Percentage of the intended pace that was reached, from the first question to the last token."""
    seen: dict[str, Any]
    """The client's report."""


class Broken(Exception):
    """A server's answer was wrong or incomplete, so its figures would be meaningless."""


def _command(load: Load) -> tuple[str, ...]:
    return (sys.executable, "-m", "bench.client", json.dumps(load._asdict()))


def _whole(told: bytes) -> dict[str, Any]:
    seen: dict[str, Any] = json.loads(told or b'{"broken": ["the client said nothing"]}')
    if seen.get("broken"):
        raise Broken(seen["broken"])
    return seen


def apply(load: Load) -> dict[str, Any]:
    """Run the client and return its report. Raises `Broken` for an incomplete or missing answer."""
    try:
        return _whole(subprocess.run(_command(load), capture_output=True, check=False, timeout=PATIENCE).stdout)
    except subprocess.TimeoutExpired as error:
        raise Broken(f"no answer within {PATIENCE} s") from error


def asked(running: Running, shape: Shape, same: str = "") -> Load:
    """The load of this shape for this server."""
    side = running.side
    load = Load(running.port, side.path, shape.streams, shape.answers, shape.tokens, shape.pace, same, side.extra)
    return load._replace(form=side.form)


def cost(running: Running, load: Load) -> Cost:
    """Apply a load and measure the CPU per token."""
    meter = _Meter(running)
    seen = apply(load)
    server, engine = meter.read()
    asked_for = load.answers * load.tokens * load.pace / 1000
    pace = 100 * asked_for / seen["seconds"] if load.pace > 0 else None
    return Cost(server / seen["tokens"], None if engine is None else engine / seen["tokens"], pace, seen)


def delivery(running: Running, readers: int, tokens: int, pace: int) -> float:
    """CPU for each delivery of a token to one of many readers of the same answer, in microseconds.

    All readers are attached before the measurement begins, so that the cost of attaching is not included.
    """
    load = asked(running, Shape(readers, tokens, pace), same=secrets.token_hex(8))._replace(hold=True, parked=True)
    with held(load) as client:
        meter = _Meter(running)
        _release(running.provider)
        seen = _rest(client)
        server, _ = meter.read()
    return server / (seen["tokens"] - readers)


def delivery_elsewhere(writing: Running, reading: Running, readers: int, tokens: int, pace: int) -> float:
    """The same for readers at another server than the one that writes the answer; the CPU of both is counted."""
    question = secrets.token_hex(8)
    one = asked(writing, Shape(1, tokens, pace), same=question)._replace(hold=True, parked=True)
    with held(one) as first, held(one._replace(port=reading.port, streams=readers)) as client:
        meters = _Meter(writing), _Meter(reading)
        _release(writing.provider)
        seen = _rest(client)
        _rest(first)
        spent = sum(meter.read()[0] for meter in meters)
    return spent / (seen["tokens"] - readers)


def resumed(running: Running, tokens: int) -> float:
    """Milliseconds to the first byte of a repeated POST whose `Last-Event-ID` lies near the end of a long answer."""
    body = json.dumps(asked(running, Shape(1, tokens)).body())
    ids = re.findall(rb"^id: ?(\S+)", _posted(running, body, {})[1], re.MULTILINE)
    if len(ids) < tokens:
        raise Broken(f"{len(ids)} offsets in an answer of {tokens} tokens")
    took, rest = _posted(running, body, {"Last-Event-ID": ids[-9].decode()})
    if b"id:" not in rest or rest.count(b"@") > 9:
        raise Broken(f"resumed elsewhere than near the end: {rest[:400]!r}")
    return took * 1000


def _posted(running: Running, body: str, headers: dict[str, str]) -> tuple[float, bytes]:
    """Seconds to the first byte of the answer's body, and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.connect()
        began = time.perf_counter()
        connection.request("POST", running.side.path, body, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        first = response.read(1)
        return time.perf_counter() - began, first + response.read()


def kept(running: Running) -> int | None:
    """Memory that the server's Redis reports as used, in bytes; None without a Redis."""
    if running.engine is None:
        return None
    with socket.create_connection(("127.0.0.1", running.engine.port)) as connection:
        connection.sendall(b"INFO memory\r\n")
        told = b""
        while not (used := re.search(rb"used_memory:(\d+)\r\n", told)):
            told += connection.recv(4096)
    return int(used[1])


def rss_per_stream(running: Running, streams: int, same: str = "") -> float:
    """Memory per open, silent stream, in kilobytes; with `same`, all streams read one answer."""
    before = running.tree.rss()
    with held(asked(running, Shape(streams, 1, -1), same)._replace(hold=True)):
        return (running.tree.rss() - before) / streams / 1000


@contextlib.contextmanager
def held(load: Load) -> Generator[subprocess.Popen[bytes], None, None]:
    """Run the client, paused after the first token of every stream."""
    with subprocess.Popen(_command(load), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        if (said := client.stdout.readline()) != b"held\n":
            client.kill()
            raise Broken(f"streams did not open: {said.decode()}")
        yield client


def _rest(client: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Let a paused client continue, and return its report. Raises `Broken`."""
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write(b"\n")
    client.stdin.flush()
    return _whole(client.stdout.read())


class _Meter:
    """Measures the CPU that a server and its Redis use from now on."""

    def __init__(self, running: Running) -> None:
        self._server, self._engine = running.tree, running.engine
        self._before = self._now()

    def read(self) -> tuple[float, float | None]:
        """Microseconds of the server and of its Redis; None without a Redis."""
        server, engine = self._now()
        before, engine_before = self._before
        return (server - before) * 1e6, (engine - engine_before) * 1e6 if self._engine else None

    def _now(self) -> tuple[float, float]:
        return self._server.cpu(), self._engine.cpu() if self._engine else 0.0


def _release(provider: int) -> None:
    """Tell the provider to continue its parked answers."""
    with socket.create_connection(("127.0.0.1", provider)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 7\r\n\r\nrelease")
        connection.recv(1000)
