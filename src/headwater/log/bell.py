"""Wakes the readers of a log that is written in this process: all at once, and a crowd not for every token."""

import asyncio
from collections.abc import Callable

PER_READER = 80e-6
"""Seconds between two rings for each reader. To wake a reader and send costs some 30 µs, so however many read one log,
more than half of a core remains for everything else. What is appended meanwhile goes out together."""
UNNOTICED = 0.005
"""Seconds; a crowd that would be woken this often or more is woken at once, every time."""
LONGEST = 0.25
"""Seconds between two rings, at most."""


class Bell:
    """Wakes everyone who waits for it; cheaper than an `asyncio.Event`, of which each entry would need a new one."""

    def __init__(self) -> None:
        self._readers = 0
        self._waiting: list[tuple[asyncio.Future[None], Callable[[], bool] | None]] = []
        self._rung = 0.0
        self._loop = asyncio.get_running_loop()
        self._due: asyncio.TimerHandle | None = None

    def join(self) -> None:
        """Register a reader."""
        self._readers += 1

    def leave(self) -> None:
        """Unregister a reader, and drop the futures of readers that were cancelled while they waited."""
        self._readers -= 1
        if len(self._waiting) > 2 * self._readers + 8:
            self._waiting = [each for each in self._waiting if not each[0].done()]

    def next(self, sleeps: Callable[[], bool] | None = None) -> "asyncio.Future[None]":
        """A future of the next ring, to be awaited; of the first at which `sleeps` returns False, if there is one."""
        ring: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((ring, sleeps))
        return ring

    def ring(self) -> None:
        """Wake everyone who waits now."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            future, sleeps = each
            if future.done():
                continue
            if sleeps is not None and sleeps():
                self._waiting.append(each)
            else:
                future.set_result(None)

    def ring_throttled(self) -> None:
        """Wake everyone who waits; a crowd no sooner than its size allows since it was last woken."""
        pause = self._readers * PER_READER
        if pause <= UNNOTICED:
            self.ring()
        elif self._due is None:
            now, due = self._loop.time(), self._rung + min(pause, LONGEST)
            if now < due:
                self._due = self._loop.call_at(due, self._ring_crowd)
            else:
                self._ring_crowd()

    def _ring_crowd(self) -> None:
        self._rung = self._loop.time()
        self.ring()
