"""Headwater's performance promises, checked against a run: one line per promise, with the measured figure.

Some lines have no limit; they put the promise beside them into perspective.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from bench.report import row_of, short
from bench.rounds import ELSEWHERE, LOCKED, RESUMED, SHORT, USUALLY, Figures, median
from bench.sides import (
    AG_UI,
    AI_SDK,
    LANGCHAIN,
    MEMORY,
    OPENAI,
    PASSTHROUGH,
    PASSTHROUGH_TWO,
    PLAIN,
    REDIS,
    SQLITE,
    TWO,
    TWO_REDIS,
)

LITELLM = "LiteLLM proxy"
LEAST = 0.1
"""Relative difference between two runs that counts as noise, at least."""
OURS, PEER, BYTES = MEMORY.name, PLAIN.name, PASSTHROUGH.name


class Target(NamedTuple):
    """A promise and the measured figure."""

    what: str
    limit: float | None
    """The promised limit; None for a line without a promise."""
    found: float | None
    most: bool = True
    """Whether the limit is a maximum; else it is a minimum."""


def targets(figures: Figures) -> list[Target]:
    """All promises, with the figures of a run."""
    return list(_targets(lambda side, row: median(figures, side, row)))


def table(figures: Figures) -> str:
    """The promises that the run measured, as Markdown, with an estimate of the noise."""
    doubt = noise(figures)
    lines = [row_of(["promise", "limit", "found", ""]), row_of(["---"] * 4)]
    lines += [_line(each, each.found, doubt) for each in targets(figures) if each.found is not None]
    same = f"Two servers that run the same code for hits differ by {doubt:.0%} in this run"
    about = same if doubt > LEAST else f"Differences up to {LEAST:.0%} are noise"
    lines.append(f"\n{about}; figures that close to their limit are marked.")
    return "\n".join(lines)


def noise(figures: Figures) -> float:
    """Relative noise: how much the hits of two servers differ that run the same code for hits."""
    row = "µs/hit of 300 tokens"
    one, other = median(figures, OURS, row), median(figures, LANGCHAIN.name, row)
    return max(LEAST, abs(one / other - 1), abs(other / one - 1)) if one and other else LEAST


def _line(each: Target, found: float, doubt: float) -> str:
    if each.limit is None:
        return row_of([each.what, "–", short(found), "not a promise"])
    sign = "≤" if each.most else "≥"
    kept = found <= each.limit if each.most else found >= each.limit
    near = ", within the noise" if max(found / each.limit, each.limit / found) < 1 + doubt else ""
    verdict = f"met{near}" if kept else f"**not met**{near}"
    return row_of([each.what, f"{sign} {each.limit:,g}", short(found), verdict])


Find = Callable[[str, str], "float | None"]
Ratio = Callable[[tuple[str, str], tuple[str, str]], "float | None"]


def _targets(find: Find) -> Iterator[Target]:
    def ratio(over: tuple[str, str], under: tuple[str, str]) -> float | None:
        a, b = find(*over), find(*under)
        return None if a is None or not b else a / b

    burst, paced = f"µs/token, {SHORT.name}", "µs/token, paced 32×500"
    usual = f"µs/token, {USUALLY.name}"
    yield Target("a miss in a burst, µs/token, memory", 12, find(OURS, burst))
    yield Target("a miss in a burst: times below FastAPI + ChatOpenAI", 18, ratio((PEER, burst), (OURS, burst)), False)
    yield Target("a miss in a burst: times below LiteLLM", 40, ratio((LITELLM, burst), (OURS, burst)), False)
    for row, speed, limits in ((paced, "a token every 8 ms", (1.5, 5)), (usual, "40/s", (1.6, None))):
        yield Target(f"a paced miss, {speed}: times a byte pass-through", limits[0], ratio((OURS, row), (BYTES, row)))
        below = ratio((PEER, row), (OURS, row))
        yield Target(f"a paced miss, {speed}: times below FastAPI + ChatOpenAI", limits[1], below, False)
    for side in (SQLITE, REDIS):
        yield Target(f"a token at 40/s, {side.name}, times memory", 1.25, ratio((side.name, usual), (OURS, usual)))
    yield Target("a token at 40/s, µs of its Redis", 46, find(REDIS.name, f"its Redis, {usual}"))
    for side in (MEMORY, SQLITE, REDIS):
        hit = find(side.name, "µs/hit of 300 tokens")
        yield Target(f"hits of 300 tokens per CPU second, {side.name}", 2000, hit and 1e6 / hit, False)
    kept = ratio((SQLITE.name, LOCKED), (SQLITE.name, "hits/s"))
    yield Target("hits/s while another process holds SQLite's write lock, times hits/s", 0.5, kept, False)
    yield Target("a hit's first token, ms p50, memory", 1, find(OURS, "a hit's first token, ms p50"))
    yield Target("a hit's first token, ms p50, redis", 2, find(REDIS.name, "a hit's first token, ms p50"))
    for pace, what in (
        ("burst", "burst, µs per token delivered, in pages"),
        ("paced", "paced, µs per token delivered"),
    ):
        yield Target(f"1,000 readers of one, {what}", 4, find(OURS, f"µs/delivery, 1,000 readers of one, {pace}"))
    crowd = "1,000 readers of one, paced"
    for side in (SQLITE, REDIS):
        times = ratio((side.name, f"{ELSEWHERE}, {crowd}"), (side.name, f"µs/delivery, {crowd}"))
        yield Target(f"1,000 readers on another server, paced, {side.name}, times here", 2, times)
    for what, limit in (("each an answer", 30), ("all of one answer", 25)):
        yield Target(f"idle streams, {what}, kB each", limit, find(OURS, f"kB per idle stream, {what}"))
    yield Target("first token of a miss, +ms p50", 2, find(OURS, "first token +ms p50"))
    yield from _flat(ratio)
    yield from _shared(ratio, (burst, paced))
    for side in (OPENAI, AI_SDK, AG_UI):
        for row in (burst, paced):
            named = row.removeprefix("µs/token, ")
            yield Target(
                f"{side.name}, a token, {named}, times the native one", 1.3, ratio((side.name, row), (OURS, row))
            )
        yield Target(f"{side.name}, hits/s of 300 tokens", 2500, find(side.name, "hits/s"), most=False)
        yield Target(f"{side.name}, {RESUMED}", 30, find(side.name, RESUMED))
    yield Target("LiteLLM's /v1, a token, burst, times ours", None, ratio((LITELLM, burst), (OPENAI.name, burst)))
    for side in (MEMORY, SQLITE, REDIS, TWO, TWO_REDIS):
        found = find(side.name, "s from start to ready")
        yield Target(f"s from start to ready, {side.name}", 1 if side.workers == 1 else None, found)
    through = ratio((LANGCHAIN.name, burst), (PEER, burst))
    yield Target("through LangChain, a burst, times FastAPI + ChatOpenAI", 1, through)


def _flat(ratio: Ratio) -> Iterator[Target]:
    """Promises that more streams and longer answers do not make a token cost more."""
    # The promise is 50 → 5,000 tokens, which is easy to keep: a short answer's tokens bear its fixed cost.
    grown = (("32×500", "1,000×500"), ("32×50", "32×5,000"), ("32×500", "32×5,000"))
    for one, other in grown:
        rise = ratio((OURS, f"µs/token, burst {other}"), (OURS, f"µs/token, burst {one}"))
        yield Target(f"a token in burst {other}, times one in burst {one}", 1.1, rise)


def _shared(ratio: Ratio, rows: Iterable[str]) -> Iterator[Target]:
    """Promises that two workers cost what one does, beside the same ratio of a byte pass-through."""
    for row in rows:
        name = row.removeprefix("µs/token, ")
        for two, one in ((TWO, SQLITE), (TWO_REDIS, REDIS), (PASSTHROUGH_TWO, PASSTHROUGH)):
            limit = 1.1 if two.ours else None
            pair = f"{two.name}, times one, {name}"
            yield Target(f"{pair} together", limit, ratio((two.name, row), (one.name, row)))
            yield Target(f"{pair} each", limit, ratio((two.name, f"{row} a worker"), (one.name, row)))
