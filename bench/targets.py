"""What Headwater promises of its speed, held against a run: each promise a line, with what was found."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from bench.report import row_of, short
from bench.rounds import Figures, median
from bench.sides import LANGCHAIN, MEMORY, PASSTHROUGH, PLAIN, REDIS, SQLITE, TWO, TWO_REDIS

LITELLM = "LiteLLM proxy"
OURS, PEER, BYTES = MEMORY.name, PLAIN.name, PASSTHROUGH.name


class Target(NamedTuple):
    """A promise, and the figure that keeps or breaks it."""

    what: str
    limit: float
    found: float | None
    most: bool = True
    """Whether the figure may be at most the limit; else it must be at least that."""


def targets(figures: Figures) -> list[Target]:
    """Every promise that can be told from one run."""
    return list(_targets(lambda side, row: median(figures, side, row)))


def table(figures: Figures) -> str:
    """The promises that the run could tell of, as Markdown."""
    lines = [row_of(["promise", "limit", "found", ""]), row_of(["---"] * 4)]
    for each in targets(figures):
        if each.found is None:
            continue
        sign = "≤" if each.most else "≥"
        kept = each.found <= each.limit if each.most else each.found >= each.limit
        lines.append(
            row_of([each.what, f"{sign} {each.limit:,g}", short(each.found), "met" if kept else "**not met**"])
        )
    return "\n".join(lines)


Find = Callable[[str, str], "float | None"]


def _targets(find: Find) -> Iterator[Target]:
    def ratio(over: tuple[str, str], under: tuple[str, str]) -> float | None:
        a, b = find(*over), find(*under)
        return None if a is None or not b else a / b

    burst, paced = "µs/token, burst 32×500", "µs/token, paced 32×500"
    yield Target("a miss in a burst, µs/token, memory", 12, find(OURS, burst))
    yield Target("a miss in a burst: times below FastAPI + ChatOpenAI", 18, ratio((PEER, burst), (OURS, burst)), False)
    yield Target("a miss in a burst: times below LiteLLM", 40, ratio((LITELLM, burst), (OURS, burst)), False)
    yield Target("a paced miss: times a byte pass-through", 1.5, ratio((OURS, paced), (BYTES, paced)))
    yield Target("a paced miss: times below FastAPI + ChatOpenAI", 5, ratio((PEER, paced), (OURS, paced)), False)
    for side in (MEMORY, SQLITE, REDIS):
        hit = find(side.name, "µs/hit of 300 tokens")
        yield Target(f"hits of 300 tokens per CPU second, {side.name}", 2000, hit and 1e6 / hit, False)
    yield Target("a hit's first token, ms p50, memory", 1, find(OURS, "a hit's first token, ms p50"))
    yield Target("a hit's first token, ms p50, redis", 2, find(REDIS.name, "a hit's first token, ms p50"))
    for pace in ("burst", "paced"):
        row = f"µs/delivery, 1,000 readers of one, {pace}"
        yield Target(f"1,000 readers of one, {pace}, µs per delivered event", 4, find(OURS, row))
    for what in ("each an answer", "all of one answer"):
        yield Target(f"idle streams, {what}, kB each", 25, find(OURS, f"kB per idle stream, {what}"))
    yield Target("first token of a miss, +ms p50", 2, find(OURS, "first token +ms p50"))
    for one, other in (("burst 32×500", "burst 1,000×500"), ("burst 32×50", "burst 32×5,000")):
        rise = ratio((OURS, f"µs/token, {other}"), (OURS, f"µs/token, {one}"))
        yield Target(f"a token in {other}, times one in {one}", 1.1, rise)
    for row in (burst, paced):
        name = row.removeprefix("µs/token, ")
        for two, one in ((TWO, SQLITE), (TWO_REDIS, REDIS)):
            pair = f"{two.name}, times one, {name}"
            yield Target(f"{pair} together", 1.1, ratio((two.name, row), (one.name, row)))
            yield Target(f"{pair} each", 1.1, ratio((two.name, f"{row} a worker"), (one.name, row)))
    for side in (MEMORY, SQLITE, REDIS):
        yield Target(f"s from start to ready, {side.name}", 1, find(side.name, "s from start to ready"))
    through = ratio((LANGCHAIN.name, burst), (PEER, burst))
    yield Target("through LangChain, a burst, times FastAPI + ChatOpenAI", 1, through)
