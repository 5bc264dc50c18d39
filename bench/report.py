"""Formats figures as Markdown tables, and writes them into a document."""

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.rounds import PACE_KEPT, SHORT, USUALLY, Figures, median

LATE = 95
"""A figure is marked if its server kept less than this percentage of the pace."""
LATE_NOTE = (
    "† Only this percentage of the pace was kept. A server that falls behind reads several tokens at once, so its CPU "
    "per token is too low and its latency is that of a queue. Where every server is marked, the answers are so short "
    "that the requests themselves take part of the time."
)
SEVERAL = ", 2 workers"
"""Suffix of a server with several workers; the table shows it beside the same server with one."""


class Table(NamedTuple):
    """A table of the report: its title, and the prefixes of the rows it contains."""

    title: str
    rows: tuple[str, ...]
    short: bool = False
    """Whether the prefix is omitted from the row names, because the title says it."""
    several: bool = False
    """Whether the table compares several workers with one."""


_WIRE = tuple(f"bytes/token, {shape.name}" for shape in (SHORT, USUALLY))
TABLES = (
    Table("µs of CPU per token, burst", ("µs/token, burst ",), short=True),
    Table("µs of CPU per token, paced", ("µs/token, paced ",), short=True),
    Table("Latency: what a side adds, in ms", ("token +ms ", "first token +ms ")),
    Table("What an answer takes besides its tokens, and a token on its way to the client", ("µs/answer", *_WIRE)),
    Table("Hits and resumes", ("µs/hit", "hits/s", "a hit's", "ms to the first byte")),
    Table("Readers of one answer", ("µs/delivery", "readers a core")),
    Table("Start", ("s from", "MB of a worker")),
    Table("Memory of open, silent streams", ("kB per idle",)),
    Table("What its Redis spends", ("its Redis, ",), short=True),
    Table("One worker and two", ("µs/token, ", "token +ms ", "s from"), several=True),
)


def tables(figures: Figures, absent: Iterable[str]) -> str:
    """The tables as Markdown: in each cell the median of the rounds, with minimum and maximum."""
    blocks = [block for table in TABLES if (block := _table(figures, table))]
    if any("†" in block for block in blocks):
        blocks.append(LATE_NOTE)
    return "\n\n".join([*blocks, *(f"Not measured: {why}." for why in absent)])


def late(figures: Figures, side: str, row: str) -> float | None:
    """The percentage of the pace that was kept in that row, if it is below `LATE`; else None."""
    measured, _, shape = row.partition(", paced ")
    if "µs/token" not in measured and "token +ms" not in measured:  # falling behind does not change the number of bytes
        return None
    kept = median(figures, side, f"{PACE_KEPT}, paced {shape}")
    return kept if kept is not None and kept < LATE else None


def _table(figures: Figures, table: Table) -> str:
    many = [side for side in figures if side.endswith(SEVERAL)]
    sides = [
        side for side in figures if (side in many or side + SEVERAL in many if table.several else side not in many)
    ]
    told = dict.fromkeys(row for side in (many if table.several else sides) for row in figures[side])
    rows = [row for begin in table.rows for row in told if row.startswith(begin)]
    sides = [side for side in sides if any(_found(figures, side, row) for row in rows)]
    if not sides or (table.several and not many):
        return ""
    names = [row.removeprefix(table.rows[0]) if table.short else row for row in rows]
    # The shorter dimension becomes the columns.
    if len(sides) > len(rows):
        lines = [[side, *(_cell(figures, side, row) for row in rows)] for side in sides]
        head = names
    else:
        lines = [[name, *(_cell(figures, side, row) for side in sides)] for name, row in zip(names, rows, strict=True)]
        head = sides
    parts = [f"**{table.title}**\n", row_of(["", *head]), row_of(["---"] * (len(head) + 1)), *map(row_of, lines)]
    return "\n".join(parts)


def _found(figures: Figures, side: str, row: str) -> Sequence[float]:
    """A row's figures; for `… a worker`, the figure of a single worker is in the row without that suffix."""
    return figures[side].get(row) or figures[side].get(row.removesuffix(" a worker"), ())


def row_of(cells: Iterable[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def short(value: float) -> str:
    """A figure with three significant digits."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def about(machine: Mapping[str, object]) -> str:
    """The machine and versions, in one line."""
    return ", ".join(f"{name} {value}" for name, value in machine.items())


def into(document: Path, blocks: Mapping[str, str]) -> None:
    """Replace each block of the document, between the comments with its name."""
    text = document.read_text()
    for name, block in blocks.items():
        marked = re.compile(rf"(<!-- bench: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not marked.search(text):
            raise SystemExit(f"{document} has no block {name}")
        text = marked.sub(lambda found, block=block: f"{found[1]}{block}\n{found[2]}", text)
    document.write_text(text)


def _cell(figures: Figures, side: str, row: str) -> str:
    values = _found(figures, side, row)
    if not values:
        return "–"
    middle, low, high = (short(value) for value in (statistics.median(values), min(values), max(values)))
    behind = late(figures, side, row)
    mark = f" †{int(behind)}%" if behind is not None else ""
    return (f"**{middle}**" if low == high else f"**{middle}** ({low}–{high})") + mark
