"""One figure at a time: CPU per token, first-token time, hits, memory per open stream."""

import json
import secrets
import statistics
import subprocess
import sys
from typing import Any, NamedTuple

from bench.client import Load
from bench.sides import Running


class Shape(NamedTuple):
    """How many streams at once, how many tokens each, how fast; named as the table's column."""

    streams: int
    tokens: int
    pace: int = 0
    answers: int = 4

    @property
    def name(self) -> str:
        """E.g. `burst 16×300`."""
        return f"{'paced' if self.pace else 'burst'} {self.streams}×{self.tokens}"


class Broken(Exception):
    """A side did not answer as it should; a figure measured then would be a lie."""


def apply(load: Load) -> dict[str, Any]:
    """Run the client, and give what it saw. Raises `Broken` when an answer was not whole."""
    command = (sys.executable, "-m", "bench.client", json.dumps(load._asdict()))
    done = subprocess.run(command, capture_output=True, check=True, timeout=90)
    seen: dict[str, Any] = json.loads(done.stdout)
    if seen.get("broken"):
        raise Broken(seen["broken"])
    return seen


def cpu_per_token(running: Running, shape: Shape) -> float:
    """Microseconds of the server's CPU for each token on its way from the provider to the client."""
    answers = 1 if running.side.slow or shape.pace else shape.answers
    load = Load(running.port, running.side.path, shape.streams, answers, shape.tokens, shape.pace)
    before = running.tree.cpu()
    seen = apply(load)
    return (running.tree.cpu() - before) * 1e6 / seen["tokens"]


def cpu_per_hit(running: Running, *, streams: int, answers: int) -> tuple[float, float]:
    """Microseconds of the server's CPU for a stored answer of 300 tokens; and how many came in a second of time."""
    load = Load(running.port, running.side.path, streams, answers, same="again")
    apply(load._replace(streams=1, answers=1))  # fills the cache
    before = running.tree.cpu()
    seen = apply(load)
    return (running.tree.cpu() - before) * 1e6 / (streams * answers), streams * answers / seen["seconds"]


def cpu_per_delivery(running: Running, readers: int) -> float:
    """Microseconds of the server's CPU for each token that one generation delivers to each of its readers."""
    load = Load(running.port, running.side.path, readers, 1, 200, 8, same=secrets.token_hex(8))
    before = running.tree.cpu()
    seen = apply(load)
    return (running.tree.cpu() - before) * 1e6 / seen["tokens"]


def first_token(port: int, path: str, *, answers: int, same: str = "") -> list[float]:
    """Milliseconds until the first token, asked one after the other."""
    load = Load(port, path, answers=answers, tokens=1, same=same)
    return [first * 1000 for first in apply(load)["firsts"]]


def rss_per_stream(running: Running, streams: int, same: str = "") -> float:
    """Kilobytes that each open, silent stream adds: each a generation, or all readers of the `same` one."""
    before = running.tree.rss()
    load = Load(running.port, running.side.path, streams, 1, 1, -1, same=same, hold=True)
    command = (sys.executable, "-m", "bench.client", json.dumps(load._asdict()))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        held = client.stdout.readline()
        after = running.tree.rss()
        client.stdin.close()
    if held != b"held\n":
        raise Broken(f"streams did not open: {held!r}")
    return (after - before) / streams / 1000


def percentile(values: list[float], part: float) -> float:
    """The value below which this part of them lies."""
    return statistics.quantiles(values, n=1000, method="inclusive")[int(part * 1000) - 1]
