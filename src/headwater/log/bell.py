"""How the readers of a log that is written here are woken: all at once, and a crowd of them not for every token."""

import asyncio

SHARE = 80e-6
"""Seconds for each reader between two rings. Waking one and sending costs some 30 µs, so that however many read one
log, they leave more than half of a core to everybody else; what is appended meanwhile goes out together."""
UNNOTICED = 0.005
"""Seconds; a crowd that would be rung this often or more is rung at once, every time."""
LONGEST = 0.25
"""Seconds between two rings at most."""


class Bell:
    """Wakes everyone who waits for it; cheaper than an `asyncio.Event`, of which each entry would need a new one."""

    def __init__(self) -> None:
        self._crowd = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._rung = 0.0
        self._loop = asyncio.get_running_loop()
        self._due: asyncio.TimerHandle | None = None

    def join(self) -> None:
        """Say that one more waits in turn, or will again when they have sent what they were woken for."""
        self._crowd += 1

    def leave(self) -> None:
        """Say that one of them does not any more; the ring it may have waited for is forgotten soon."""
        self._crowd -= 1
        if len(self._waiting) > 2 * self._crowd + 8:
            self._waiting = [one for one in self._waiting if not one.done()]

    def next(self) -> "asyncio.Future[None]":
        """The next ring, to be awaited."""
        ring: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(ring)
        return ring

    def ring(self) -> None:
        """Wake all who wait now."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)

    def ring_in_turn(self) -> None:
        """Wake all who wait, a crowd as soon as it has had its time since it was woken last."""
        pause = self._crowd * SHARE
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
