"""The chart: CPU per token of each server under four kinds of load, on a logarithmic scale."""

import math
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from bench.report import SEVERAL, late, short
from bench.rounds import SHORT, USUALLY, Figures, median

LEFT, WIDTH, LINE, GAP = 262, 400, 15, 12
TOP = 96

_STYLE = """<style>
  text { paint-order: stroke; stroke-width: 4px } .grid, .range { stroke-width: 1px } .range { stroke-width: 2px }
  .page { fill: #ffffff } text { fill: #1f2328; stroke: #ffffff } .grid { stroke: #d1d9e0 } .faint { fill: #59636e }
  .late { fill: #ffffff; stroke-width: 2px }
  .burst { color: #0969da } .paced { color: #bc4c00 } .usual { color: #8250df } .hit { color: #1a7f37 }
  .mark { fill: currentColor; stroke: currentColor } .range { stroke: currentColor; opacity: 0.55 }
  @media (prefers-color-scheme: dark) {
    .page, .late { fill: #0d1117 } text { fill: #f0f6fc; stroke: #0d1117 } .grid { stroke: #3d444d }
    .faint { fill: #9198a1 }
    .burst { color: #4493f8 } .paced { color: #db6d28 } .usual { color: #ab7df8 } .hit { color: #3fb950 }
  }
  .mark.late { fill: none }
</style>"""


class Series(NamedTuple):
    """One kind of load, drawn in its own colour and shape."""

    kind: str
    row: str
    said: str
    tokens: int = 1
    """Number of tokens that the row's figure covers."""


class Dot(NamedTuple):
    """CPU per token: minimum, median, maximum, and whether the server fell behind the pace."""

    series: Series
    low: float
    middle: float
    high: float
    late: bool


def chart(figures: Figures) -> str:
    """The chart as an SVG for light and dark pages."""
    series = list(_series(figures))
    found = {side: dots for side in figures if (dots := _dots(figures, side, series)) and not side.endswith(SEVERAL)}
    ends = [end for dots in found.values() for dot in dots for end in (dot.low, dot.high)] or [1, 10]
    low, high = math.floor(math.log10(min(ends))), math.ceil(math.log10(max(ends)))
    scale = WIDTH / max(high - low, 1)
    bottom = TOP + sum(LINE * len(dots) + GAP for dots in found.values())
    parts = [*_frame(bottom), *_legend(series)]
    for power in range(low, high + 1):
        at = LEFT + scale * (power - low)
        parts.append(f'<line class="grid" x1="{at:.0f}" y1="{TOP - 6}" x2="{at:.0f}" y2="{bottom}"/>')
        parts.append(f'<text class="faint" x="{at:.0f}" y="{bottom + 16}" text-anchor="middle">{10**power:g}</text>')
    y = TOP + LINE / 2
    for side, dots in found.items():
        middle = y + LINE * (len(dots) - 1) / 2
        parts.append(f'<text x="{LEFT - 12}" y="{middle + 4:.1f}" text-anchor="end">{escape(side)}</text>')
        for dot in dots:
            ends = [LEFT + scale * (math.log10(value) - low) for value in (dot.low, dot.middle, dot.high)]
            parts += _drawn(dot, ends, y)
            y += LINE
        y += GAP
    return "\n".join([*parts, "</svg>\n"])


def _series(figures: Figures) -> Iterator[Series]:
    """The four kinds of load; if the usual row of a kind was not measured, its first row."""
    rows = dict.fromkeys(row for found in figures.values() for row in found)

    def row(kind: str, usual: str) -> str:
        first = next((row for row in rows if row.startswith(f"µs/token, {kind}")), usual)
        return usual if usual in rows else first

    burst, paced = row("burst", f"µs/token, {SHORT.name}"), row("paced", "µs/token, paced 32×500")
    yield Series("burst", burst, burst.removeprefix("µs/token, "))
    yield Series("paced", paced, f"{paced.removeprefix('µs/token, ')}, 125/s")
    if (usual := f"µs/token, {USUALLY.name}") in rows:
        yield Series("usual", usual, USUALLY.name)
    yield Series("hit", "µs/hit of 300 tokens", "hit of 300 tokens", 300)


def _dots(figures: Figures, side: str, series: list[Series]) -> list[Dot]:
    dots: list[Dot] = []
    for each in series:
        middle, values = median(figures, side, each.row), figures[side].get(each.row, [])
        if middle:
            low, middle, high = (value / each.tokens for value in (min(values), middle, max(values)))
            dots.append(Dot(each, low, middle, high, late(figures, side, each.row) is not None))
    return dots


def _drawn(dot: Dot, ends: list[float], y: float) -> Iterator[str]:
    left, x, right = ends
    yield f'<g class="{dot.series.kind}"><line class="range" x1="{left:.1f}" y1="{y}" x2="{right:.1f}" y2="{y}"/>'
    yield _mark(dot.series.kind, x, y, dot.late)
    yield f'</g><text x="{right + 9:.1f}" y="{y + 4}">{short(dot.middle)}</text>'


def _mark(kind: str, x: float, y: float, behind: bool) -> str:
    # A shape for each, for readers who cannot tell the colours apart.
    kinds = {
        "burst": ((-4, -4), (4, -4), (4, 4), (-4, 4)),
        "usual": ((0, -5), (5, 0), (0, 5), (-5, 0)),
        "hit": ((0, -5), (5, 4), (-5, 4)),
    }
    name = "mark late" if behind else "mark"
    if kind not in kinds:
        return f'<circle class="{name}" cx="{x:.1f}" cy="{y}" r="4.5"/>'
    points = " ".join(f"{x + dx:.1f},{y + dy}" for dx, dy in kinds[kind])
    return f'<polygon class="{name}" points="{points}"/>'


def _frame(bottom: float) -> Iterator[str]:
    height = bottom + 40
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height:.0f}" width="760" height="{height:.0f}" '
        'font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="CPU per token of each side">'
    )
    yield _STYLE
    yield '<rect class="page" width="100%" height="100%" rx="6"/>'
    yield '<text x="16" y="26" font-size="15" font-weight="600">Server CPU for each token, microseconds</text>'
    yield (
        f'<text class="faint" x="{LEFT + WIDTH / 2:.0f}" y="{bottom + 32}" text-anchor="middle">'
        "logarithmic scale: each line is ten times the one before</text>"
    )


def _legend(series: list[Series]) -> Iterator[str]:
    x = 22
    for each in series:
        yield f'<g class="{each.kind}">{_mark(each.kind, x, 46, False)}</g>'
        yield f'<text x="{x + 12}" y="50">{escape(each.said)}</text>'
        x += 180
    yield (
        '<text class="faint" x="16" y="72">Median, and a line from the least to the greatest of the rounds; '
        "hollow: the side could not keep the pace.</text>"
    )
