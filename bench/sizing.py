"""Estimates the size and cost of a deployment from a run: `python -m bench.sizing [bench.json] [--hit 0.3]`.

The unit is a group: some workers with a Redis of their own. At most two workers on one Redis were ever measured, so
larger deployments are estimated as many groups.
"""

import argparse
import json
import math
from pathlib import Path
from typing import NamedTuple

from bench.report import row_of
from bench.rounds import BUSY, STORED, STORED_ROW, Figures, median
from bench.sides import MEMORY, PASSTHROUGH, REDIS

STREAMS = (1_000, 100_000, 1_000_000)
ANSWERS = 1_000_000
MONTH = 730
"""Hours in a month."""
FAST = "paced 32×500"
FAST_TOKENS, FAST_SPEED = 500, 125
SLOW = BUSY.name
SLOW_TOKENS, SLOW_SPEED = BUSY.tokens, 1000 / BUSY.pace


class Assumptions(NamedTuple):
    """Assumptions besides the figures; each is an option of the command."""

    tokens: float = 500
    """Tokens of an answer."""
    question: float = 200
    """Tokens of a question."""
    speed: float = 40
    """Tokens per second in each open stream."""
    busy: float = 0.6
    """Planned utilisation of a core, 0 to 1; the rest is for peaks."""
    kept: float = 3600
    """Seconds for which an answer is kept."""
    hit: float = 0.3
    """Fraction of the requests that the cache answers."""
    vcpu: float = 0.04
    """Dollars per core and hour."""
    gb: float = 0.005
    """Dollars per gigabyte of memory and hour."""
    asked: float = 0.15
    """Dollars per million tokens of questions."""
    told: float = 0.60
    """Dollars per million tokens of answers."""


class Spent(NamedTuple):
    """CPU in µs: the fixed cost of an answer, and the cost of a token at two paces."""

    answer: float
    slow: float
    fast: float

    def token(self, given: Assumptions) -> float:
        """CPU per token with its share of the fixed cost; interpolated between the paces, constant beyond them."""
        part = min(max((given.speed - SLOW_SPEED) / (FAST_SPEED - SLOW_SPEED), 0), 1)
        return self.slow + part * (self.fast - self.slow) + self.answer / given.tokens


class Costs(NamedTuple):
    """The measured costs on Redis, the store that many machines can share."""

    worker: Spent
    redis: Spent
    hit: float
    """CPU of a worker for a stored answer of 300 tokens, in µs."""
    hit_redis: float
    base: float
    """Memory of a worker without streams, in MB."""
    stream: float
    """Memory of a worker per open stream, in kB; measured on the memory store only."""
    told: float
    """Bytes of HTTP to the client per token."""
    heard: float
    """Bytes of HTTP from the provider per token."""
    stored: float
    """Memory of Redis for an answer of 500 tokens at the slower pace, in kB; less at a faster pace."""


class Group(NamedTuple):
    """Workers that share one Redis with no others."""

    workers: int
    streams: float
    """Open streams that the group can serve if each is a miss at full pace."""


class Unmeasured(Exception):
    """The run lacks a figure that sizing needs."""


def costs(figures: Figures) -> Costs:
    """The costs of a run. Raises `Unmeasured`."""

    def find(row: str, side: str = REDIS.name) -> float:
        value = median(figures, side, row)
        if value is None:
            raise Unmeasured(f"{row}, {side}")
        return value

    def spent(whose: str) -> Spent:
        # The measured cost per token includes a share of the fixed cost; separate the two.
        one = find(f"{whose}µs/answer of one token")
        slow, fast = find(f"{whose}µs/token, {SLOW}"), find(f"{whose}µs/token, {FAST}")
        return Spent(one, _each(slow * SLOW_TOKENS, one, SLOW_TOKENS), _each(fast * FAST_TOKENS, one, FAST_TOKENS))

    return Costs(
        worker=spent(""),
        redis=spent("its Redis, "),
        hit=find("µs/hit of 300 tokens"),
        hit_redis=find("its Redis, µs/hit"),
        base=find("MB of a worker"),
        stream=find("kB per idle stream, each an answer", MEMORY.name),
        told=find(f"bytes/token, {SLOW}"),
        heard=find(f"bytes/token, {SLOW}", PASSTHROUGH.name),
        stored=find(STORED_ROW),
    )


def _each(whole: float, one: float, tokens: int) -> float:
    """Cost of each token after the first."""
    return (whole - one) / (tokens - 1)


def group(cost: Costs, given: Assumptions) -> Group:
    """The number of workers that one Redis can serve at the planned utilisation, and their streams."""
    worker, redis = cost.worker.token(given), cost.redis.token(given)
    workers = max(math.floor(worker / redis), 1)
    rate = given.busy * 1e6 * min(workers / worker, 1 / redis)
    return Group(workers, rate / given.speed)


def streams(cost: Costs, given: Assumptions) -> str:
    """The resources for a number of open streams, each a miss at full pace, as Markdown."""
    one = group(cost, given)
    head = ["open streams", "groups", "workers", "Redis servers", "worker memory", "Redis memory"]
    head += ["to the clients", "from the provider", "a month"]
    lines = [row_of(head), row_of(["---"] * len(head))]
    for count in STREAMS:
        rate = count * given.speed
        groups = math.ceil(count / one.streams)
        workers = groups * one.workers
        memory = workers * cost.base / 1e3 + count * cost.stream / 1e6
        # An answer is kept while it is written, and for `kept` seconds afterwards.
        alive = count * (1 + given.kept * given.speed / given.tokens)
        stored = alive * _stored(cost, given)
        price = (groups + workers) * given.vcpu + (memory + stored) * given.gb
        cells = [f"{count:,}", *map(_about, (groups, workers, groups))]
        cells += [f"{_about(memory)} GB", f"{_about(stored)} GB"]
        cells += [f"{_about(rate * size * 8 / 1e9)} Gbit/s" for size in (cost.told, cost.heard)]
        lines.append(row_of([*cells, f"${_about(price * MONTH)}"]))
    return "\n".join(lines)


def answers(cost: Costs, given: Assumptions) -> str:
    """The cost of a million answers with and without the cache, as Markdown."""
    price = (given.question * given.asked + given.tokens * given.told) / 1e6
    lines = [row_of(["a million answers", "provider", "CPU", "Redis's memory", "together"]), row_of(["---"] * 5)]
    for name, part in (("without the cache", 0.0), (f"{given.hit:.0%} of them hits", given.hit)):
        misses = ANSWERS * (1 - part)
        miss = given.tokens * (cost.worker.token(given) + cost.redis.token(given))
        hit = (cost.hit + cost.hit_redis) * given.tokens / 300
        cpu = (misses * miss + ANSWERS * part * hit) / 1e6 / 3600 / given.busy * given.vcpu
        memory = misses * _stored(cost, given) * (given.kept + given.tokens / given.speed) / 3600 * given.gb
        bills = (misses * price, cpu, memory)
        lines.append(row_of([name, *(f"${bill:,.2f}" for bill in (*bills, sum(bills)))]))
    return "\n".join(lines)


def _stored(cost: Costs, given: Assumptions) -> float:
    """Memory of Redis per answer, in gigabytes."""
    return cost.stored * given.tokens / STORED.tokens / 1e6


def _about(value: float) -> str:
    """The value with two significant digits."""
    if value < 10:
        return f"{value:.2g}"
    return f"{round(value, 1 - math.floor(math.log10(value))):,.0f}"


def assumed(cost: Costs, given: Assumptions) -> str:
    """The assumptions and the resulting group, in a few sentences."""
    one = group(cost, given)
    return (
        f"Assumptions: answers of {given.tokens:,.0f} tokens to questions of {given.question:,.0f}, at {given.speed:g} "
        f"tokens a second, kept for {given.kept:,.0f} s; cores {given.busy:.0%} busy; ${given.vcpu:g} per core and "
        f"hour, ${given.gb:g} per GB of memory and hour, ${given.asked:g} and ${given.told:g} per million tokens in "
        f"and out.\n\n"
        f"A token then takes {cost.worker.token(given):.0f} µs of a worker and {cost.redis.token(given):.0f} µs of "
        f"Redis. So a group is {one.workers} worker{'s' if one.workers > 1 else ''} and one Redis, each on its own "
        f"core, and serves about {_about(one.streams)} open streams."
    )


def text(figures: Figures, given: Assumptions | None = None) -> str:
    """The whole estimate as Markdown."""
    given = given or Assumptions()
    try:
        cost = costs(figures)
    except Unmeasured as row:
        return f"Sizing needs a figure that this run did not measure ({row}); a full run measures it."
    return "\n\n".join([assumed(cost, given), streams(cost, given), answers(cost, given)])


def main() -> None:
    """Print the estimate under the assumptions given on the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.sizing", description=__doc__)
    parser.add_argument("results", nargs="?", type=Path, default=Path("docs/performance.json"))
    for name, value in Assumptions()._asdict().items():
        parser.add_argument(f"--{name}", type=float, default=value)
    options = vars(parser.parse_args())
    figures = json.loads(options.pop("results").read_text())["figures"]
    print(text(figures, Assumptions(**options)))


if __name__ == "__main__":
    main()
