"""The logs whose lease has lapsed, from then until somebody has sealed them.

Usually that takes one transaction. It may take for ever: the disk is full or read-only, or another program holds the
write lock. Then readers here must not wait for it, and claims must not join such a log.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping

from headwater.errors import StoreError
from headwater.log.sqlite.rows import Lapsed, Pulse

SEAL_WITHIN = 2.0
"""Seconds for which readers wait while a log whose lease has lapsed is sealed; then they hear that it is lost."""

Seal = Callable[[str, int, int], Awaitable[bool]]
"""Seals a log of this id, epoch and beat. Raises `StoreError`."""

_log = logging.getLogger(__name__)


class Lapses:
    """Keeps the account. `update` belongs to the thread that watches, everything else to one event loop.

    `pace` is the seconds between two attempts to seal a log; `wake` wakes the readers of logs.
    """

    def __init__(self, seal: Seal, pace: float, wake: Callable[[Iterable[str]], None]) -> None:
        self.lapsed: Lapsed = {}
        """All of them, for claims."""
        self.unsealed: dict[str, tuple[int, int]] = {}
        """Those that an attempt has failed to seal, for readers."""
        self._seal = seal
        self._pace = max(pace, SEAL_WITHIN + 0.5)
        self._wake = wake
        self._attempts: dict[str, float] = {}  # when each log is to be sealed again
        self._tasks: set[asyncio.Task[None]] = set()
        self._warned = False
        self._closed = False

    def update(self, lapsed: Mapping[str, Pulse], now: float) -> list[tuple[str, int, int]]:
        """Take note of all logs whose lease has lapsed by now; returns those that are to be sealed now."""
        if not lapsed and not self.lapsed:
            return []
        self.lapsed = {log: (pulse.epoch, pulse.beat) for log, pulse in lapsed.items()}
        due = [log for log in lapsed if self._attempts.get(log, 0.0) <= now]
        self._attempts = {log: at for log, at in self._attempts.items() if log in lapsed}
        self._attempts |= dict.fromkeys(due, now + self._pace)
        return [(log, *self.lapsed[log]) for log in due]

    def seal(self, logs: Iterable[tuple[str, int, int]]) -> None:
        """Begin to seal logs."""
        if self._closed:
            return
        self.unsealed = {log: known for log, known in self.unsealed.items() if self.lapsed.get(log) == known}
        for each in logs:
            task = asyncio.create_task(self._seal_one(*each), name=f"seal {each[0]}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Stop sealing. May be called again."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _seal_one(self, log: str, epoch: int, beat: int) -> None:
        try:
            async with asyncio.timeout(SEAL_WITHIN):
                await self._seal(log, epoch, beat)
            self.unsealed.pop(log, None)
            self._warned = False
        except (StoreError, TimeoutError) as error:
            if not self._warned:
                why = str(error) or f"no answer for {SEAL_WITHIN:g} s"
                _log.warning("answers whose writer is gone cannot be ended in the store, only here: %s", why)
            self._warned = True
            self.unsealed[log] = epoch, beat
            self._wake([log])
