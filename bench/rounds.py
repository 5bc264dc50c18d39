"""The benchmark run: every server under every load, in interleaved rounds, so that disturbances hit all alike."""

import contextlib
import resource
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import NamedTuple

from bench import measure
from bench.client import Load, percentile
from bench.measure import Broken, Shape
from bench.sides import REDIS, SQLITE, Running, Side, another, started, upstream

Figures = dict[str, dict[str, list[float]]]
"""Server → row → one figure per round."""


class Plan(NamedTuple):
    """The extent of a run."""

    rounds: int
    shapes: tuple[Shape, ...]
    few: tuple[str, ...]
    """Names of the loads for servers that are measured under a few loads only."""
    hits: int
    """Stored answers that each of 16 streams fetches."""
    firsts: int
    delivery: tuple[Shape, ...]
    """Loads whose streams all read one answer."""
    idle: int
    """Number of open, silent streams whose memory is measured."""
    idles: int
    """Number of rounds with the measurements that start servers of their own: that memory, and readers elsewhere."""


SHORT = Shape(32, 500, answers=2)
"""The main load; short, so that each round runs it twice, some time apart."""
USUALLY = Shape(16, 300, 25, delays=True)
"""A common pace, with few enough streams that every server can keep it."""
BUSY = Shape(128, 100, 25)
"""The same pace with more streams; sizing is computed from this load."""
STORED = Shape(64, 500, 25)
STORED_ROW = f"its Redis, kB/answer of {STORED.tokens} tokens, 40/s"
QUICK = Plan(
    rounds=3,
    shapes=(Shape(16, 300, answers=2), Shape(16, 100, 8, delays=True)),
    few=("burst 16×300", "paced 16×100"),
    hits=20,
    firsts=100,
    delivery=(Shape(200, 100, 8),),
    idle=500,
    idles=1,
)
FULL = Plan(
    rounds=5,
    shapes=(
        *(Shape(1, 500, answers=20), Shape(32, 50, answers=10), SHORT, Shape(256, 500, answers=2)),
        *(Shape(1000, 500), SHORT, Shape(32, 5000)),
        *(Shape(1, 500, 8), Shape(32, 50, 8, answers=2), Shape(32, 500, 8, delays=True)),
        *(USUALLY, Shape(256, 500, 8), Shape(1000, 50, 8), BUSY),
    ),
    few=("burst 1×500", "burst 32×50", "burst 32×500", "paced 32×500", USUALLY.name),
    hits=100,
    firsts=200,
    delivery=(Shape(1000, 500), Shape(1000, 500, 8)),
    idle=10_000,
    idles=3,
)
PACED = Plan(rounds=9, shapes=(USUALLY,), few=(), hits=0, firsts=0, delivery=(), idle=0, idles=0)
"""The usual pace alone: its tokens cost so little beside the noise of a machine that few rounds do not tell."""
WARM = Shape(4, 300)
ELSEWHERE = "µs/delivery elsewhere"
"""Prefix of the rows about readers on another server than the one that writes."""
RESUMED = "ms to the first byte of a resume near the end of 10,000 tokens"
LOCKED = "hits/s while another process holds the write lock"
PACE_KEPT = "% of the pace"
"""Prefix of the rows that say how much of the provider's pace was kept."""


class Rounds:
    """One run of the benchmark, and its figures so far."""

    def __init__(self, plan: Plan, sides: list[Side]) -> None:
        self.figures: Figures = {side.name: {} for side in sides}
        self.broken: list[str] = []
        """Reasons why figures are missing: servers whose answers were wrong."""
        self.done = 0
        """Number of complete rounds."""
        self._plan = plan
        self._sides = sides
        self._began = time.monotonic()

    def run(self) -> Figures:
        """Run all rounds and return the figures."""
        with contextlib.ExitStack() as stack:
            provider = stack.enter_context(upstream())
            running = [stack.enter_context(started(side, provider)) for side in self._sides]
            for one in running:  # import, compile and connect everything before measuring
                _warm(one)
            with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C keeps the figures so far
                for number in range(self._plan.rounds):
                    self._tell(f"round {number + 1} of {self._plan.rounds}")
                    if not number and self._plan.idles:  # takes 15 s, and does not vary
                        self._tell("what Redis keeps")
                        self._each(self._stored, running)
                    if number < self._plan.idles:
                        self._tell("memory of open streams")
                        self._each(lambda one: self._idle(one.side, provider), running)
                        self._tell("readers on another server")
                        self._each(self._elsewhere, running)
                    if self._plan.firsts:
                        self._tell("starts")
                        self._each(lambda one: self._start(one.side, provider), running)
                    self._round(provider, running)
                    self.done += 1
        return self.figures

    def _round(self, provider: int, running: list[Running]) -> None:
        direct = Direct(provider, self._plan)
        for shape in self._plan.shapes:
            self._tell(shape.name)
            self._each(lambda one, shape=shape: self._shape(one, shape, direct), running)
        for one in running if self._plan.firsts else ():
            self._each(lambda one: self._firsts(one, direct), [one])
            self._each(self._hits, [one])
            self._each(self._readers, [one])

    def _each(self, measured: Callable[[Running], None], running: Iterable[Running]) -> None:
        for one in running:
            with self._bearing(one.side):
                measured(one)

    @contextlib.contextmanager
    def _bearing(self, side: Side) -> Generator[None, None, None]:
        """Record a server whose answers are wrong, and continue with the others."""
        try:
            yield
        except Broken as why:
            told = f"{side.name} broke: {str(why)[:200]}"
            self._tell(told)
            self.broken.append(told)

    def _tell(self, what: str) -> None:
        print(f"{time.monotonic() - self._began:4.0f} s  {what}", file=sys.stderr, flush=True)

    def _note(self, side: Side, row: str, value: float | None) -> None:
        if value is not None:
            self.figures[side.name].setdefault(row, []).append(value)

    def _start(self, side: Side, provider: int) -> None:
        """Measure the start-up time of a Headwater server, and its memory before any stream."""
        if not side.ours:
            return
        with started(side, provider) as fresh:
            self._note(side, "s from start to ready", fresh.tree.ready)
            if side.workers == 1:  # with several workers it would include the supervisor
                _warm(fresh)
                self._note(side, "MB of a worker", fresh.tree.rss() / 1e6)

    def _stored(self, one: Running) -> None:
        """Measure the memory of a stored answer in Redis, for a slow answer: each token is then an entry of its own."""
        before = measure.kept(one)
        if before is None or one.side.workers > 1:
            return
        measure.apply(measure.asked(one, STORED))
        grown = (measure.kept(one) or before) - before
        self._note(one.side, STORED_ROW, grown / STORED.streams / 1000)

    def _idle(self, side: Side, provider: int) -> None:
        """Measure the memory of idle streams, on fresh servers, which have no freed memory to reuse."""
        if not side.idle or not side.provider or side.few:  # a slow server would need minutes to open them
            return
        with started(side, provider) as fresh:
            _warm(fresh)
            # Each answer needs two sockets in the server: to the client and to the provider.
            streams = min(self._plan.idle, (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 200) // 2)
            self._note(side, "kB per idle stream, each an answer", measure.rss_per_stream(fresh, streams))
        if side.ours:
            with started(side, provider) as fresh:
                _warm(fresh)
                value = measure.rss_per_stream(fresh, self._plan.idle, "one")
                self._note(side, "kB per idle stream, all of one answer", value)

    def _shape(self, one: Running, shape: Shape, direct: "Direct") -> None:
        side = one.side
        if (side.few and shape.name not in self._plan.few) or (shape.pace and not side.provider):
            return
        if shape.streams < side.workers:  # with fewer streams than workers, some workers would idle
            return
        if side.slow:
            shape = shape._replace(answers=max(shape.answers // 4, 1))
        found = self._cost(one, shape, shape.name)
        if side.workers > 1:  # also with the load of one worker each, since tokens that arrive together cost less
            self._cost(one, shape._replace(streams=shape.streams * side.workers), f"{shape.name} a worker")
        if shape.delays:
            for part, mine, floor in zip(("p50", "p99"), found.seen["delays"], direct.delays(shape), strict=True):
                self._note(side, f"token +ms {part}, {shape.name}", mine - floor)

    def _cost(self, one: Running, shape: Shape, name: str) -> measure.Cost:
        found = measure.cost(one, measure.asked(one, shape))
        self._note(one.side, f"µs/token, {name}", found.server)
        self._note(one.side, f"its Redis, µs/token, {name}", found.engine)
        self._note(one.side, f"{PACE_KEPT}, {name}", found.pace)
        self._note(one.side, f"bytes/token, {name}", found.seen["bytes"] / found.seen["tokens"])
        return found

    def _firsts(self, one: Running, direct: "Direct") -> None:
        if not one.side.provider:
            return
        found = measure.cost(one, measure.asked(one, Shape(1, 1, answers=self._plan.firsts)))
        self._note(one.side, "µs/answer of one token", found.server)
        self._note(one.side, "its Redis, µs/answer of one token", found.engine)
        firsts: list[float] = found.seen["firsts"]
        for part in (0.5, 0.99):
            overhead = percentile(firsts, part) - percentile(direct.firsts, part)
            self._note(one.side, f"first token +ms p{part * 100:.0f}", overhead)

    def _hits(self, one: Running) -> None:
        if not one.side.hits:
            return
        one = one._replace(side=one.side._replace(path=one.side.hits))
        measure.cost(one, measure.asked(one, Shape(1, 300), "again"))  # fills the cache
        found = measure.cost(one, measure.asked(one, Shape(16, 300, answers=self._plan.hits), "again"))
        answers = 16 * self._plan.hits
        self._note(one.side, "µs/hit of 300 tokens", found.server * 300)
        self._note(one.side, "its Redis, µs/hit", found.engine and found.engine * 300)
        self._note(one.side, "hits/s", answers / found.seen["seconds"])
        if one.side.name == SQLITE.name:
            with locked(Path(one.placeholders["folder"]) / "logs.sqlite"):
                kept = measure.apply(measure.asked(one, Shape(16, 300, answers=self._plan.hits), "again"))
            self._note(one.side, LOCKED, answers / kept["seconds"])
        if one.side.ours:
            once = measure.apply(measure.asked(one, Shape(1, 1, answers=self._plan.firsts), "once"))
            self._note(one.side, "a hit's first token, ms p50", percentile(once["firsts"], 0.5))
            if one.side.workers == 1 and not one.side.slow:  # through LangChain, entries hold many tokens
                self._note(one.side, RESUMED, measure.resumed(one, 10_000))

    def _readers(self, one: Running) -> None:
        if not one.side.ours or one.side.few:
            return
        for shape in self._plan.delivery:
            cost = measure.delivery(one, shape.streams, shape.tokens, shape.pace)
            pace = "paced" if shape.pace else "burst"
            self._note(one.side, f"µs/delivery, {shape.streams:,} readers of one, {pace}", cost)
            if shape.pace:
                self._note(one.side, f"readers a core, {1000 // shape.pace} tokens/s", 1e3 * shape.pace / cost)

    def _elsewhere(self, one: Running) -> None:
        """Measure readers of an answer that another server of the same store writes, at a pace."""
        if one.side not in (SQLITE, REDIS):
            return
        with another(one) as reading:
            _warm(reading)
            for shape in self._plan.delivery:
                if shape.pace:
                    cost = measure.delivery_elsewhere(one, reading, shape.streams, shape.tokens, shape.pace)
                    self._note(one.side, f"{ELSEWHERE}, {shape.streams:,} readers of one, paced", cost)


class Direct:
    """Times of the provider without a server between, in this round; they are subtracted from every server's times."""

    def __init__(self, provider: int, plan: Plan) -> None:
        # Only the client's times matter here, so there is no process tree to measure.
        self._load = Load(provider, "/")
        first = self._load._replace(answers=plan.firsts, tokens=1)
        self.firsts: list[float] = measure.apply(first)["firsts"] if plan.firsts else []
        self._delays: dict[str, list[float]] = {}

    def delays(self, shape: Shape) -> list[float]:
        """Percentiles of the delay of a paced token."""
        if shape.name not in self._delays:
            load = self._load._replace(streams=shape.streams, tokens=shape.tokens, pace=shape.pace)
            self._delays[shape.name] = measure.apply(load)["delays"]
        return self._delays[shape.name]


@contextlib.contextmanager
def locked(file: Path) -> Generator[None, None, None]:
    """Hold the write lock of a SQLite file, as a busy process would."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def _warm(fresh: Running) -> None:
    measure.cost(fresh, measure.asked(fresh, WARM))


def median(figures: Figures, side: str, row: str) -> float | None:
    """The median of the rounds; None if there are none."""
    values = figures.get(side, {}).get(row)
    return statistics.median(values) if values else None
