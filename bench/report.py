"""The figures as one table, as JSON and as a bar chart."""

import json
import statistics
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

Figures = Mapping[str, Mapping[str, Sequence[float]]]
"""Side → column → one figure per round."""


def table(figures: Figures, machine: Mapping[str, Any]) -> str:
    """Markdown: the median of the rounds, and their spread."""
    columns = list(dict.fromkeys(column for row in figures.values() for column in row))
    lines = [", ".join(f"{name} {value}" for name, value in machine.items()), ""]
    lines += [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for side, row in figures.items():
        lines.append(f"| {side} | " + " | ".join(_cell(row.get(column, ())) for column in columns) + " |")
    return "\n".join(lines)


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "–"
    middle, low, high = (_short(value) for value in (statistics.median(values), min(values), max(values)))
    return f"**{middle}**" if low == high else f"**{middle}** ({low}–{high})"


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def write(folder: Path, figures: Figures, machine: Mapping[str, Any]) -> None:
    """`bench.json` and `bench.svg` in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps({"machine": machine, "figures": figures}, indent=1) + "\n")
    (folder / "bench.svg").write_text(_chart(figures))


def _chart(figures: Figures) -> str:
    """CPU per token of every side, a group of bars for each shape."""
    columns = [c for c in next(iter(figures.values())) if c.startswith("µs/token")]
    bars: list[str] = []
    y = 10
    for column in columns:
        values = {side: statistics.median(row[column]) for side, row in figures.items() if row.get(column)}
        longest = max(values.values(), default=1)
        bars.append(f'<text x="10" y="{y + 12}" font-weight="bold">{escape(column)}</text>')
        y += 20
        for side, value in values.items():
            width = max(400 * value / longest, 1)
            bars.append(f'<text x="210" y="{y + 12}" text-anchor="end">{escape(side)}</text>')
            bars.append(f'<rect x="220" y="{y}" width="{width:.1f}" height="14" fill="#2a6f97"/>')
            bars.append(f'<text x="{226 + width:.1f}" y="{y + 12}">{_short(value)}</text>')
            y += 20
        y += 10
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="700" height="{y}" font-family="sans-serif" font-size="12">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *bars, "</svg>\n"])
