"""One soak: a server process, the load, and a look at what the server holds every few seconds."""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from processes.servers import serve

from soak.load import Findings, Load
from soak.provider import Rivers
from soak.server import GRACE
from soak.watch import TABLES, Holding, hold, settled, slope

SERVER = (str(Path(__file__).with_name("server.py")),)
CACHED = 5.0
"""Seconds for which an answer is cached, so that names come and go."""
LONGEST = 15.0
"""Seconds that an answer may take; what leads to answers is kept for as long and the cache's time."""
REST = LONGEST + CACHED + 2 * GRACE + 10
"""Seconds after which nothing is left of any answer."""
FILES, TASKS = 26, 4
"""Open files and tasks of a server at rest, about: more of them mean that it still works."""
PACE = 0.004
"""Seconds between the provider's tokens."""
STEEPEST = 30.0
"""Megabytes an hour by which memory may grow in the second half of a long soak: the noise of the allocator."""
LONG = 600.0
"""Seconds from which on the slope and the p99 of a soak say something."""


@dataclass
class Report:
    """What came of a soak."""

    seconds: float
    findings: Findings
    before: Holding
    looks: list[Holding]
    after: Holding

    def faults(self) -> list[str]:
        """All that must not be; empty if everything held."""
        found = list(self.findings.wrong)
        for what in ("files", "tasks"):
            before, after = getattr(self.before, what), getattr(self.after, what)
            found += [f"{after - before} {what} more than before"] if after > before else []
        for table, count in self.after.rows.items():
            found += [f"{count} rows left in {table}"] if count > self.before.rows[table] else []
        if self.seconds >= LONG:
            growth, thirds = slope(self.looks[len(self.looks) // 2 :]), self.p99()
            found += [f"memory grew by {growth:.0f} MB an hour"] if growth > STEEPEST else []
            found += [f"p99 went from {thirds[0]:.3f} to {thirds[2]:.3f} s"] if thirds[2] > 2 * thirds[0] else []
        return found

    def p99(self) -> list[float]:
        """The p99 of the time to the first byte, in each third of the time."""
        first, begun = self.findings.first, self.before.at
        thirds: list[list[float]] = [[], [], []]
        for at, seconds in first:
            thirds[min(2, int(3 * (at - begun) / self.seconds))].append(seconds)
        return [sorted(each)[int(0.99 * len(each))] if each else 0.0 for each in thirds]

    def __str__(self) -> str:
        found, kinds = self.findings, sorted(self.findings.done.items())
        lines = [
            *(f"  {count:>8} {what}" for what, count in kinds),
            f"{found.done.total()} answers in {self.seconds:.0f} s, {found.refused} requests refused for a moment, "
            f"one of them {found.longest} times",
            f"lost {len(found.lost)}, doubled {len(found.doubled)}, hung {len(found.hung)}",
            f"first byte, p99 in each third: {', '.join(f'{1000 * each:.0f} ms' for each in self.p99())}",
            f"memory grew by {slope(self.looks[len(self.looks) // 2 :]):+.1f} MB an hour in the second half",
            f"before: {self.before}",
            f"after:  {self.after}",
            *(f"FAULT {each}" for each in self.faults()[:20]),
        ]
        return "\n".join(lines)


async def soak(seconds: float, clients: int, say: Callable[[str], object] = lambda _: None) -> Report:
    """Run the load for so long, wait until the server is at rest, and tell what was found."""
    with tempfile.TemporaryDirectory(prefix="hw-") as folder:
        async with Rivers(PACE) as provider:
            settings = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": provider.url}
            settings |= {"HEADWATER_MODEL": "openai:gpt-4o-mini", "HEADWATER_MODEL_TIMEOUT": "1.5"}
            settings |= {"HEADWATER_CACHE_TTL": str(CACHED), "HEADWATER_TOTAL_TIMEOUT": str(LONGEST)}
            settings |= {"HEADWATER_LEASE": "15", "HEADWATER_KEEP_ALIVE": "2"}
            settings |= {"HEADWATER_MAX_GENERATIONS": str(max(2, clients // 3))}  # so that some find it at its capacity
            async with serve(Path(folder), program=SERVER, **settings) as server:
                pid, load = server.process.pid, Load(server.client, provider)
                before = await _warm(load, pid, Path(folder))
                looks, running = [before], asyncio.create_task(load.run(clients))
                end = time.monotonic() + seconds
                while time.monotonic() < end and not running.done():
                    await asyncio.sleep(min(5.0, seconds / 10))
                    looks.append(hold(pid, Path(folder)))
                    say(f"{looks[-1].at - before.at:6.0f} s: {looks[-1]}; {load.findings.done.total()} answers")
                load.over.set()
                await running
                await server.client.aclose()
                after = await settled(pid, Path(folder), before, within=REST)
                return Report(seconds, load.findings, before, looks, after)


async def _warm(load: Load, pid: int, folder: Path) -> Holding:
    """What the server holds after a few answers and some rest, so that what is made once is there; no rows stay."""
    warm = asyncio.create_task(load.run(4))
    await asyncio.sleep(2)
    load.over.set()
    await warm
    load.over.clear()
    started = Holding(0, 0, FILES, TASKS, dict.fromkeys(TABLES, sys.maxsize))
    rested = await settled(pid, folder, started, within=30)
    load.findings = Findings()
    return replace(rested, rows=dict.fromkeys(TABLES, 0))
