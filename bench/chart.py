"""The chart: what a token costs each side in CPU, in bursts and paced, on a logarithmic scale."""

import math
from html import escape

from bench.report import short
from bench.rounds import Figures, median

LEFT, WIDTH, BAR, GAP = 275, 420, 15, 12

_STYLE = """<style>
  text { paint-order: stroke; stroke-width: 4px } .grid { stroke-width: 1px }
  .page { fill: #ffffff } text { fill: #1f2328; stroke: #ffffff } .grid { stroke: #d1d9e0 } .faint { fill: #59636e }
  .burst { fill: #0969da } .paced { fill: #bc4c00 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } text { fill: #f0f6fc; stroke: #0d1117 } .grid { stroke: #3d444d } .faint { fill: #9198a1 }
    .burst { fill: #4493f8 } .paced { fill: #db6d28 }
  }
</style>"""


def chart(figures: Figures, burst: str, paced: str) -> str:
    """An SVG of two rows of the table, which reads on a light page as on a dark one."""
    sides = [side for side in figures if median(figures, side, burst) is not None]
    values = [value for side in sides for row in (burst, paced) if (value := median(figures, side, row))]
    low, high = (math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))) if values else (0, 1)
    scale = WIDTH / max(high - low, 1)

    def x(value: float) -> float:
        return LEFT + scale * (math.log10(value) - low)

    top = 74
    step = 2 * BAR + GAP
    bottom = top + step * len(sides)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {bottom + 40}" width="760" height="{bottom + 40}" '
        'font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="CPU per token of each side">',
        _STYLE,
        '<rect class="page" width="100%" height="100%" rx="6"/>',
        '<text x="16" y="26" font-size="15" font-weight="600">Server CPU for each token, microseconds</text>',
        *_legend(burst, paced),
    ]
    for power in range(low, high + 1):
        at = LEFT + scale * (power - low)
        parts.append(f'<line class="grid" x1="{at:.0f}" y1="{top - 6}" x2="{at:.0f}" y2="{bottom}"/>')
        parts.append(f'<text class="faint" x="{at:.0f}" y="{bottom + 16}" text-anchor="middle">{10**power:g}</text>')
    parts.append(
        f'<text class="faint" x="{LEFT + WIDTH / 2:.0f}" y="{bottom + 32}" text-anchor="middle">'
        "logarithmic scale: each line is ten times the one before</text>"
    )
    for place, side in enumerate(sides):
        y = top + step * place
        parts.append(f'<text x="{LEFT - 10}" y="{y + BAR + 4}" text-anchor="end">{escape(side)}</text>')
        for row, colour in ((burst, "burst"), (paced, "paced")):
            if value := median(figures, side, row):
                length = max(x(value) - LEFT, 1)
                parts.append(f'<rect class="{colour}" x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 2}"/>')
                parts.append(f'<text x="{LEFT + length + 6:.1f}" y="{y + 11}">{short(value)}</text>')
            y += BAR
    return "\n".join([*parts, "</svg>\n"])


def _legend(burst: str, paced: str) -> list[str]:
    rows = (("burst", 16, burst), ("paced", 210, paced))
    return [
        part
        for colour, x, row in rows
        for part in (
            f'<rect class="{colour}" x="{x}" y="40" width="12" height="12"/>',
            f'<text x="{x + 18}" y="50">{escape(row.removeprefix("µs/token, "))}</text>',
        )
    ]
