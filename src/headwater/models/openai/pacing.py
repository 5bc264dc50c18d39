"""When a provider's socket is read again: the tokens of one interval are read together.

A token that is read alone costs several times as much as one among others: a wake-up, a read, a task, a send. A stream
with fewer tokens than intervals is not delayed. In a faster one the first token of each interval passes at once, and
the tokens behind it wait in the kernel, where waiting costs nothing, for the interval to end.
"""

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import aiohttp


class Pacer:
    """Pauses the sockets of one event loop until the interval ends, which is at the same moment for all of them.

    `interval` is in seconds: fifty a second are about as many as a screen shows. A batch of `many` events or more is
    not paused after, because those events came together anyway and more are probably waiting.
    """

    def __init__(self, interval: float = 0.02, many: int = 16) -> None:
        self.many = many
        self._interval = interval
        self._paused: set[asyncio.Transport] = set()
        self._end: asyncio.TimerHandle | None = None

    def pause(self, response: "aiohttp.ClientResponse") -> None:
        """Read no more of an answer until the interval ends."""
        transport = _transport(response)
        if transport is None:
            return
        transport.pause_reading()
        self._paused.add(transport)
        if self._end is None:
            loop = asyncio.get_running_loop()
            self._end = loop.call_at((loop.time() // self._interval + 1) * self._interval, self._resume_all)

    def resume(self, response: "aiohttp.ClientResponse") -> None:
        """Read on at once: the answer is over, and the next one on its connection must not start paused."""
        transport = _transport(response)
        if transport in self._paused:
            self._paused.discard(transport)
            transport.resume_reading()

    def _resume_all(self) -> None:
        self._end = None
        paused, self._paused = self._paused, set()
        for transport in paused:
            if not transport.is_closing():
                transport.resume_reading()


def pacer() -> Pacer:
    """The running loop's pacer, shared by all answers, so that one wake-up serves many."""
    return _pacers.setdefault(asyncio.get_running_loop(), Pacer())


_pacers: WeakKeyDictionary[asyncio.AbstractEventLoop, Pacer] = WeakKeyDictionary()


def _transport(response: "aiohttp.ClientResponse") -> asyncio.Transport | None:
    connection = response.connection
    transport = None if connection is None else connection.transport
    return None if transport is None or transport.is_closing() else transport
