"""The logs whose lease has lapsed, from then until somebody has sealed them or has taken them over.

Sealing usually takes one transaction. It may take for ever: the disk is full or read-only, or another program holds the
write lock. Then readers here must not wait for it, and claims must not join such a log.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping

from headwater.errors import StoreError
from headwater.log.sqlite.row import Lapsed, Pulse

TELL_EVERY = 1.0
"""Seconds between two calls for a log that waits for a successor."""
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
        """Those that are lost, for claims."""
        self.abandoned: Lapsed = {}
        """Those that wait for a successor."""
        self.found: Callable[[str], object] = lambda log: None
        """Called with each of those, on the event loop."""
        self.unsealed: dict[str, tuple[int, int]] = {}
        """Those that an attempt has failed to seal, for readers."""
        self._seal = seal
        self._pace = max(pace, SEAL_WITHIN + 0.5)
        self._wake = wake
        self._attempts: dict[str, float] = {}  # when each log is to be sealed, or told of, again
        self._tasks: set[asyncio.Task[None]] = set()
        self._warned = False
        self._closed = False

    def update(self, lapsed: Mapping[str, Pulse], abandoned: Mapping[str, Pulse], now: float) -> list[str]:
        """Take note of all logs that are lost or abandoned by now; returns those with which `act` is to begin now."""
        if not (lapsed or abandoned or self._attempts):
            return []
        self.lapsed, self.abandoned = _known(lapsed), _known(abandoned)
        paces = dict.fromkeys(lapsed, self._pace) | dict.fromkeys(abandoned, TELL_EVERY)
        due = [log for log in paces if self._attempts.get(log, 0.0) <= now]
        self._attempts = {log: at for log, at in self._attempts.items() if log in paces}
        self._attempts |= {log: now + paces[log] for log in due}
        return due

    def act(self, logs: Iterable[str]) -> None:
        """Begin to seal lost logs, and tell of abandoned ones."""
        if self._closed:
            return
        self.unsealed = {log: known for log, known in self.unsealed.items() if self.lapsed.get(log) == known}
        lapsed = self.lapsed
        for log in logs:
            if log in lapsed:
                task = asyncio.create_task(self._seal_one(log, *lapsed[log]), name=f"seal {log}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            elif log in self.abandoned:
                self.found(log)

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


def _known(pulses: Mapping[str, Pulse]) -> Lapsed:
    return {log: (pulse.epoch, pulse.beat) for log, pulse in pulses.items()}
