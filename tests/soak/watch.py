"""What a server holds while it runs: memory, files, tasks and rows of its store."""

import asyncio
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

TABLES = ("logs", "subjects", "names", "packs", "recoveries", "tombstones", "documents")
PAGE = 4096


@dataclass(frozen=True)
class Holding:
    """What a server held at a time."""

    at: float
    memory: float
    """Megabytes in RAM."""
    files: int
    tasks: int
    rows: dict[str, int]
    """Rows of its store by table."""

    def __str__(self) -> str:
        rows = ", ".join(f"{count} {table}" for table, count in self.rows.items() if count)
        return f"{self.memory:.1f} MB, {self.files} files, {self.tasks} tasks; {rows or 'no rows'}"


def resident(pid: int) -> float:
    """Megabytes of a process in RAM."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1e6


def hold(pid: int, folder: Path) -> Holding:
    """Look at a server of `soak/server.py` with SQLite in this folder."""
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    with closing(sqlite3.connect(f"file:{folder / 'logs.sqlite'}?mode=ro", uri=True, timeout=10)) as db:
        rows = {table: int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in TABLES}
    return Holding(time.monotonic(), resident(pid), files, int((folder / "tasks").read_text()), rows)


async def settled(pid: int, folder: Path, before: Holding, within: float) -> Holding:
    """Wait until a server holds no more files, tasks and rows than before; returns the last look either way."""
    until = time.monotonic() + within
    while True:
        now = hold(pid, folder)
        grown = {table for table, count in now.rows.items() if count > before.rows[table]}
        if (now.files <= before.files and now.tasks <= before.tasks and not grown) or time.monotonic() > until:
            return now
        await asyncio.sleep(0.5)


def slope(looks: list[Holding]) -> float:
    """By how many megabytes an hour the memory grew: the line of least squares through all looks."""
    if len(looks) < 2:
        return 0.0
    at = [each.at - looks[0].at for each in looks]
    middle, mean = sum(at) / len(at), sum(each.memory for each in looks) / len(looks)
    square = sum((each - middle) ** 2 for each in at)
    return 3600 * sum((x - middle) * (each.memory - mean) for x, each in zip(at, looks, strict=True)) / square
