"""What a deployment needs and costs, reckoned from a run: `python -m bench.sizing [bench.json] [--hit 0.3]`."""

import argparse
import json
import math
from pathlib import Path
from typing import NamedTuple

from bench.report import row_of
from bench.rounds import Figures, median
from bench.sides import MEMORY, REDIS

STREAMS = (1_000, 100_000, 1_000_000)
ANSWERS = 1_000_000


class Assumptions(NamedTuple):
    """What the figures do not say; each is an option of the command."""

    tokens: float = 500
    """Tokens of an answer."""
    question: float = 200
    """Tokens of a question."""
    speed: float = 40
    """Tokens a second in each open stream; as measured. Slower ones cost less in all, though more for each token."""
    busy: float = 0.6
    """Part of a core that is planned for; the rest is for peaks."""
    kept: float = 3600
    """Seconds that an answer is kept."""
    hit: float = 0.3
    """Part of the requests that the cache answers."""
    vcpu: float = 0.04
    """Dollars for a core and an hour."""
    asked: float = 0.15
    """Dollars for a million tokens of questions."""
    told: float = 0.60
    """Dollars for a million tokens of answers."""


class Costs(NamedTuple):
    """What was measured, on Redis: the store that many machines can share."""

    token: float
    """µs of a worker for a token at the provider's pace."""
    redis: float
    """µs of Redis for a token."""
    hit: float
    """µs of a worker for a stored answer of 300 tokens."""
    stream: float
    """kB of a worker for an open stream."""
    wire: float
    """Bytes to the client for a token."""
    stored: float
    """kB of Redis for an answer of 500 tokens."""


def costs(figures: Figures) -> Costs | None:
    """The costs of a run; none if it did not measure what they take."""
    redis, paced = REDIS.name, "paced 128×100, 40/s"
    found = (
        median(figures, redis, f"µs/token, {paced}"),
        median(figures, redis, f"its Redis, µs/token, {paced}"),
        median(figures, redis, "µs/hit of 300 tokens"),
        median(figures, MEMORY.name, "kB per idle stream, each an answer"),
        median(figures, redis, f"bytes/token, {paced}"),
        median(figures, redis, "its Redis, kB/answer of 500 tokens"),
    )
    known = [value for value in found if value is not None]
    return Costs(*known) if len(known) == len(found) else None


def streams(cost: Costs, given: Assumptions) -> str:
    """What it takes to keep so many streams open, each a miss in full flow, as Markdown."""
    head = ["open streams", "tokens/s", "workers (cores)", "Redis shards (cores)", "worker memory", "Redis memory"]
    lines = [row_of([*head, "to the clients", "workers, a month"]), row_of(["---"] * 8)]
    for count in STREAMS:
        rate = count * given.speed
        workers = math.ceil(rate * cost.token / 1e6 / given.busy)
        shards = math.ceil(rate * cost.redis / 1e6 / given.busy)
        # An answer is kept while it is written and for its time afterwards.
        alive = count * (1 + given.kept * given.speed / given.tokens)
        stored = alive * cost.stored * given.tokens / 500 / 1e6
        cells = [f"{count:,}", f"{rate:,.0f}", f"{workers:,}", f"{shards:,}"]
        cells += [
            f"{count * cost.stream / 1e6:,.1f} GB",
            f"{stored:,.0f} GB",
            f"{rate * cost.wire * 8 / 1e9:,.2f} Gbit/s",
        ]
        lines.append(row_of([*cells, f"${workers * given.vcpu * 730:,.0f}"]))
    return "\n".join(lines)


def answers(cost: Costs, given: Assumptions) -> str:
    """What a million answers cost with and without the cache, as Markdown."""
    price = (given.question * given.asked + given.tokens * given.told) / 1e6
    lines = [row_of(["a million answers", "provider", "CPU", "together"]), row_of(["---"] * 4)]
    for name, part in (("without the cache", 0.0), (f"{given.hit:.0%} of them hits", given.hit)):
        provider = ANSWERS * (1 - part) * price
        miss = given.tokens * (cost.token + cost.redis)
        hit = cost.hit * given.tokens / 300
        cpu = ANSWERS * ((1 - part) * miss + part * hit) / 1e6 / 3600 / given.busy * given.vcpu
        lines.append(row_of([name, f"${provider:,.2f}", f"${cpu:,.2f}", f"${provider + cpu:,.2f}"]))
    return "\n".join(lines)


def assumed(given: Assumptions) -> str:
    """The assumptions in a sentence."""
    return (
        f"Assumed: answers of {given.tokens:,.0f} tokens to questions of {given.question:,.0f}, at {given.speed:g} "
        f"tokens a second, kept for {given.kept:,.0f} s; cores planned to be {given.busy:.0%} busy; "
        f"${given.vcpu:g} for a core and hour, ${given.asked:g} and ${given.told:g} for a million tokens in and out."
    )


def text(figures: Figures, given: Assumptions | None = None) -> str:
    """Everything as Markdown."""
    given = given or Assumptions()
    cost = costs(figures)
    if cost is None:
        return "This run did not measure what sizing takes; a full one does."
    return "\n\n".join([assumed(given), streams(cost, given), answers(cost, given)])


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
