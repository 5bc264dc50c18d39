"""What a deployment needs and costs, reckoned from a run: `python -m bench.sizing [bench.json] [--hit 0.3]`.

It is reckoned in groups: some workers with a Redis of their own. Two workers on one Redis are the most that was ever
measured; whatever is larger here is that, many times over.
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
"""Hours."""
FAST = "paced 32×500"
FAST_TOKENS, FAST_SPEED = 500, 125
SLOW = BUSY.name
SLOW_TOKENS, SLOW_SPEED = BUSY.tokens, 1000 / BUSY.pace


class Assumptions(NamedTuple):
    """What the figures do not say; each is an option of the command."""

    tokens: float = 500
    """Tokens of an answer."""
    question: float = 200
    """Tokens of a question."""
    speed: float = 40
    """Tokens a second in each open stream."""
    busy: float = 0.6
    """Part of a core that is planned for; the rest is for peaks."""
    kept: float = 3600
    """Seconds that an answer is kept."""
    hit: float = 0.3
    """Part of the requests that the cache answers."""
    vcpu: float = 0.04
    """Dollars for a core and an hour."""
    gb: float = 0.005
    """Dollars for a gigabyte of memory and an hour."""
    asked: float = 0.15
    """Dollars for a million tokens of questions."""
    told: float = 0.60
    """Dollars for a million tokens of answers."""


class Spent(NamedTuple):
    """µs of CPU for an answer: what it takes whatever its length, and for each token at two paces."""

    answer: float
    slow: float
    fast: float

    def token(self, given: Assumptions) -> float:
        """For one token, its part of the answer included. Nothing is known beyond the paces, so they hold there too."""
        part = min(max((given.speed - SLOW_SPEED) / (FAST_SPEED - SLOW_SPEED), 0), 1)
        return self.slow + part * (self.fast - self.slow) + self.answer / given.tokens


class Costs(NamedTuple):
    """What was measured, on Redis: the store that many machines can share."""

    worker: Spent
    redis: Spent
    hit: float
    """µs of a worker for a stored answer of 300 tokens."""
    hit_redis: float
    base: float
    """MB of a worker before anybody streams."""
    stream: float
    """kB of a worker for an open stream, on the memory store: the only one where it was measured."""
    told: float
    """Bytes to the client for a token, as HTTP."""
    heard: float
    """Bytes from the provider for a token, as HTTP."""
    stored: float
    """kB of Redis for an answer of 500 tokens at the slower pace; at a faster one it is less."""


class Group(NamedTuple):
    """Workers with one Redis of their own."""

    workers: int
    streams: float
    """Open streams, each a miss in full flow."""


class Unmeasured(Exception):
    """A run did not measure what sizing takes."""


def costs(figures: Figures) -> Costs:
    """The costs of a run. Raises `Unmeasured`."""

    def find(row: str, side: str = REDIS.name) -> float:
        value = median(figures, side, row)
        if value is None:
            raise Unmeasured(f"{row}, {side}")
        return value

    def spent(whose: str) -> Spent:
        # The rows of tokens hold a part of the answer each; here it is apart.
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
    """What each token after the first adds to an answer."""
    return (whole - one) / (tokens - 1)


def group(cost: Costs, given: Assumptions) -> Group:
    """As many workers as one Redis serves when neither is busier than planned, and the streams of them all."""
    worker, redis = cost.worker.token(given), cost.redis.token(given)
    workers = max(math.floor(worker / redis), 1)
    rate = given.busy * 1e6 * min(workers / worker, 1 / redis)
    return Group(workers, rate / given.speed)


def streams(cost: Costs, given: Assumptions) -> str:
    """What it takes to keep so many streams open, each a miss in full flow, as Markdown."""
    one = group(cost, given)
    head = ["open streams", "groups", "workers", "Redis servers", "worker memory", "Redis memory"]
    head += ["to the clients", "from the provider", "a month"]
    lines = [row_of(head), row_of(["---"] * len(head))]
    for count in STREAMS:
        rate = count * given.speed
        groups = math.ceil(count / one.streams)
        workers = groups * one.workers
        memory = workers * cost.base / 1e3 + count * cost.stream / 1e6
        # An answer is kept while it is written and for its time afterwards.
        alive = count * (1 + given.kept * given.speed / given.tokens)
        stored = alive * _stored(cost, given)
        price = (groups + workers) * given.vcpu + (memory + stored) * given.gb
        cells = [f"{count:,}", *map(_about, (groups, workers, groups))]
        cells += [f"{_about(memory)} GB", f"{_about(stored)} GB"]
        cells += [f"{_about(rate * wire * 8 / 1e9)} Gbit/s" for wire in (cost.told, cost.heard)]
        lines.append(row_of([*cells, f"${_about(price * MONTH)}"]))
    return "\n".join(lines)


def answers(cost: Costs, given: Assumptions) -> str:
    """What a million answers cost with and without the cache, as Markdown."""
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
    """Gigabytes of Redis for an answer."""
    return cost.stored * given.tokens / STORED.tokens / 1e6


def _about(value: float) -> str:
    """To two places, for more of them would be pretence."""
    if value < 10:
        return f"{value:.2g}"
    return f"{round(value, 1 - math.floor(math.log10(value))):,.0f}"


def assumed(cost: Costs, given: Assumptions) -> str:
    """The assumptions, and what a group is, in a few sentences."""
    one = group(cost, given)
    return (
        f"Assumed: answers of {given.tokens:,.0f} tokens to questions of {given.question:,.0f}, at {given.speed:g} "
        f"tokens a second, kept for {given.kept:,.0f} s; cores planned to be {given.busy:.0%} busy; "
        f"${given.vcpu:g} for a core and hour, ${given.gb:g} for a GB of memory and hour, ${given.asked:g} and "
        f"${given.told:g} for a million tokens in and out.\n\n"
        f"A token then takes {cost.worker.token(given):.0f} µs of a worker and {cost.redis.token(given):.0f} µs of "
        f"Redis. So a group is {one.workers} worker{'s' if one.workers > 1 else ''} with a Redis of their own, a core "
        f"each, and holds about {_about(one.streams)} open streams."
    )


def text(figures: Figures, given: Assumptions | None = None) -> str:
    """Everything as Markdown."""
    given = given or Assumptions()
    try:
        cost = costs(figures)
    except Unmeasured as row:
        return f"This run did not measure what sizing takes ({row}); a full one does."
    return "\n\n".join([assumed(cost, given), streams(cost, given), answers(cost, given)])


def main() -> None:
    """Reckon under the assumptions on the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.sizing", description=__doc__)
    parser.add_argument("results", nargs="?", type=Path, default=Path("docs/performance.json"))
    for name, value in Assumptions()._asdict().items():
        parser.add_argument(f"--{name}", type=float, default=value)
    options = vars(parser.parse_args())
    figures = json.loads(options.pop("results").read_text())["figures"]
    print(text(figures, Assumptions(**options)))


if __name__ == "__main__":
    main()
