"""`python -m bench [--quick]`: every side and shape in interleaved rounds, so that all have the same neighbours."""

import argparse
import contextlib
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench import measure, report
from bench.measure import Shape
from bench.processes import machine
from bench.sides import PASSTHROUGH, PLAIN, SERVE, Running, Side, headwater, started, upstream


class Plan(NamedTuple):
    """How much is measured."""

    rounds: int
    shapes: tuple[Shape, ...]
    hits: int
    """Stored answers fetched by each of 16 streams."""
    firsts: int
    idle: int
    """Streams held open."""


QUICK = Plan(3, (Shape(16, 300), Shape(16, 150, 8)), 20, 100, 200)
FULL = Plan(
    5,
    (
        *(Shape(1, 300, answers=20), Shape(16, 300), Shape(32, 300), Shape(256, 300, answers=1)),
        *(Shape(32, 50, answers=20), Shape(32, 5000, answers=1), Shape(16, 300, 8), Shape(32, 300, 8)),
    ),
    50,
    300,
    1000,
)


def main() -> None:
    """Measure, print the table, write the JSON and the chart."""
    options = _options()
    # A thousand streams need two thousand sockets.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    plan = QUICK if options.quick else FULL
    sides = [headwater("headwater, memory, LangChain", "memory:")]
    sides += [headwater("headwater, memory, own wire", "memory:", f"{SERVE} --set openai_wire=true")]
    sides += [
        headwater("headwater, sqlite, own wire", "sqlite:///{folder}/logs.sqlite", f"{SERVE} --set openai_wire=true")
    ]
    for also in options.also:
        name, _, command = also.partition("=")
        sides.append(headwater(name, "memory:", command))
    sides += [PASSTHROUGH, PLAIN]
    chosen = [side for side in sides if not options.only or any(word in side.name for word in options.only)]
    figures = _measure(chosen, plan)
    about = {**machine(), "load": f"{os.getloadavg()[0]:.1f}", "rounds": plan.rounds}
    print(report.table(figures, about))
    report.write(options.out, figures, about)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under two minutes")
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="sides whose name contains it")
    parser.add_argument("--also", action="append", default=[], metavar="NAME=COMMAND", help="another `headwater serve`")
    parser.add_argument("--out", type=Path, default=Path("bench/results"), help="folder of bench.json and bench.svg")
    return parser.parse_args()


def _measure(sides: list[Side], plan: Plan) -> dict[str, dict[str, list[float]]]:
    figures: dict[str, dict[str, list[float]]] = {side.name: {} for side in sides}

    def note(side: Side, column: str, value: float) -> None:
        figures[side.name].setdefault(column, []).append(value)

    with contextlib.ExitStack() as stack:
        provider = stack.enter_context(upstream())
        running = [stack.enter_context(started(side, provider)) for side in sides]
        for one in running:  # everything imported, compiled and connected before anything counts
            measure.cpu_per_token(one, Shape(4, 300))
        for side in sides:
            note(side, f"kB/answer, {plan.idle} idle", _memory(side, provider, plan.idle, ""))
            if side.ours:
                note(side, f"kB/reader, {plan.idle} idle", _memory(side, provider, plan.idle, "one"))
        for _ in range(plan.rounds):
            for shape in plan.shapes:
                for one in running:
                    note(one.side, f"µs/token, {shape.name}", measure.cpu_per_token(one, shape))
            _others(provider, running, plan, note)
    return figures


def _memory(side: Side, provider: int, streams: int, same: str) -> float:
    """In a server of its own, because memory that one load has taken serves the next one too."""
    with started(side, provider) as fresh:
        measure.cpu_per_token(fresh, Shape(4, 300))
        return measure.rss_per_stream(fresh, streams, same)


def _others(provider: int, running: list[Running], plan: Plan, note: Callable[[Side, str, float], None]) -> None:
    direct = measure.first_token(provider, "/", answers=plan.firsts)
    for one in running:
        if one.side.ours:
            cost, rate = measure.cpu_per_hit(one, streams=16, answers=plan.hits)
            note(one.side, "µs/hit", cost)
            note(one.side, "hits/s", rate)
            note(one.side, f"µs/delivery, {plan.idle} readers", measure.cpu_per_delivery(one, plan.idle))
        firsts = measure.first_token(one.port, one.side.path, answers=plan.firsts)
        for part in (0.5, 0.99):
            overhead = measure.percentile(firsts, part) - measure.percentile(direct, part)
            note(one.side, f"first token +ms p{part * 100:.0f}", overhead)
        if one.side.ours:
            hits = measure.first_token(one.port, one.side.path, answers=plan.firsts, same="once")
            note(one.side, "hit's first token ms p50", measure.percentile(hits, 0.5))


if __name__ == "__main__":
    main()
