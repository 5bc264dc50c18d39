"""The figures as one table, and as blocks of a document."""

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench.rounds import Figures


def table(figures: Figures, absent: Iterable[str]) -> str:
    """Markdown, a column for each side: the median of the rounds, and their least and greatest."""
    rows = [row for row in dict.fromkeys(row for found in figures.values() for row in found) if row[:5] != "bytes"]
    rows.sort(key=_place)
    lines = [row_of(["", *figures]), row_of(["---"] * (len(figures) + 1))]
    lines += [row_of([row, *(_cell(found.get(row, ())) for found in figures.values())]) for row in rows]
    return "\n".join([*lines, *(f"\nNot measured: {why}." for why in absent)])


def row_of(cells: Iterable[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def short(value: float) -> str:
    """A figure to as many places as it deserves."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def about(machine: Mapping[str, object]) -> str:
    """What it was measured on, in a line."""
    return ", ".join(f"{name} {value}" for name, value in machine.items())


def into(document: Path, blocks: Mapping[str, str]) -> None:
    """Put each block into the document, between the comments that bear its name."""
    text = document.read_text()
    for name, block in blocks.items():
        marked = re.compile(rf"(<!-- bench: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not marked.search(text):
            raise SystemExit(f"{document} has no block {name}")
        text = marked.sub(lambda found, block=block: f"{found[1]}{block}\n{found[2]}", text)
    document.write_text(text)


def _place(row: str) -> int:
    order = ("µs/token, burst", "µs/token, paced", "token +ms", "first token", "µs/hit", "hits", "a hit", "µs/delivery")
    return next((place for place, begin in enumerate(order) if row.startswith(begin)), len(order))


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "–"
    middle, low, high = (short(value) for value in (statistics.median(values), min(values), max(values)))
    return f"**{middle}**" if low == high else f"**{middle}** ({low}–{high})"
