"""When a provider's socket is read again: the tokens of one interval are read together.

A token that is read alone costs several times as much as one among others: a wake-up, a read, a task, a send. A stream
with fewer tokens than intervals is neither delayed nor paused. In a faster one a token of each interval passes at once,
and the tokens behind it wait in the kernel, where waiting costs nothing, for the interval to end.
"""

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import aiohttp


_INTERVAL = 0.02  # seconds: fifty a second are about as many as a screen shows
_MANY = 16  # events that came together anyway: more are probably waiting, so nothing is paused after so many


class Pacer:
    """Pauses the sockets of one event loop until the interval ends, which is at the same moment for all of them."""

    def __init__(self) -> None:
        self._paused: set[PacedRead] = set()
        self._end: asyncio.TimerHandle | None = None

    def pause(self, paused: "PacedRead") -> None:
        """Resume this answer's socket when the interval ends."""
        self._paused.add(paused)
        if self._end is None:
            loop = asyncio.get_running_loop()
            self._end = loop.call_at((loop.time() // _INTERVAL + 1) * _INTERVAL, self._resume_all)

    def forget(self, paused: "PacedRead") -> None:
        """Resume this answer's socket no more."""
        self._paused.discard(paused)

    def _resume_all(self) -> None:
        self._end = None
        paused, self._paused = self._paused, set()
        now = asyncio.get_running_loop().time()
        for each in paused:
            each.resume(now)


class PacedRead:
    """The socket of one answer, paused after two batches in a row that each came within an interval of the one before.

    One such batch may only be the one behind a late one.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pacer = _pacers.setdefault(self._loop, Pacer())  # shared by all answers: one wake-up serves many
        self._transport: asyncio.Transport | None = None
        self._waiting_since = self._loop.time()
        self._quick = False  # whether the last batch came within an interval

    def after(self, batch: int, response: "aiohttp.ClientResponse") -> None:
        """Note a batch of so many events; read no more until the interval ends if the stream is a fast one."""
        now = self._loop.time()
        quick, self._quick = self._quick, now - self._waiting_since < _INTERVAL
        self._waiting_since = now
        if quick and self._quick and 0 < batch < _MANY and (transport := _transport(response)) is not None:
            transport.pause_reading()
            self._transport = transport
            self._pacer.pause(self)

    def resume(self, now: float) -> None:
        """Read on; the wait for the next batch begins now."""
        transport, self._transport = self._transport, None
        self._waiting_since = now
        if transport is not None and not transport.is_closing():
            transport.resume_reading()

    def end(self) -> None:
        """Read on at once: the answer is over, and the next one on its connection must not start paused."""
        self._pacer.forget(self)
        self.resume(self._waiting_since)


_pacers: WeakKeyDictionary[asyncio.AbstractEventLoop, Pacer] = WeakKeyDictionary()


def _transport(response: "aiohttp.ClientResponse") -> asyncio.Transport | None:
    connection = response.connection
    transport = None if connection is None else connection.transport
    return None if transport is None or transport.is_closing() else transport
