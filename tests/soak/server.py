"""Headwater whose logs expire after seconds instead of hours: `python server.py serve`, so that leaked keys show.

It writes how many tasks it has into the file `tasks` of its folder, twice a second: nobody outside can count them.
"""

import asyncio
import socket
from functools import partial
from pathlib import Path

from headwater.cli import worker
from headwater.cli.main import app
from headwater.log.sqlite import tailer
from headwater.log.store import Limits
from headwater.wiring import stores

GRACE = 4.0
"""Seconds for which a log outlives its name, and a tombstone its log."""
startup = worker.Worker.startup


async def counted_startup(self: worker.Worker, sockets: list[socket.socket] | None = None) -> None:
    """Start as always, and begin to count."""
    await startup(self, sockets)
    self.counting = asyncio.create_task(_count())  # type: ignore[attr-defined] # so that somebody holds the task


async def _count() -> None:
    while True:
        _write(len(asyncio.all_tasks()))
        await asyncio.sleep(0.5)


def _write(tasks: int) -> None:
    new = Path("tasks.new")
    new.write_text(str(tasks))
    new.rename("tasks")  # so that nobody reads half of it


if __name__ == "__main__":
    stores.Limits = partial(Limits, grace=GRACE, tombstone=GRACE)  # type: ignore[misc]
    tailer.SWEEP_EVERY = 2.0
    worker.Worker.startup = counted_startup
    app()
