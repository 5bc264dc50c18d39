"""When a provider's socket is read again: what comes within one turn is taken together.

A token that comes alone costs several times what it costs among others: a wake-up, a read, a task, a send. A stream
that is slower than one token a turn is not held up by it. Of a faster one the first token of each turn passes at once,
and those behind it wait in the kernel, where waiting costs nothing, for the turn to end.
"""

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import aiohttp

TURN = 0.02
"""Seconds: fifty turns a second are about as many as a screen shows, and more than anybody can tell apart."""

MANY = 16
"""Events that need no turn to come together: they did already, and more of them are probably waiting."""


class Turns:
    """Lets sockets of one event loop rest until the turn ends, which it does for all of them at once."""

    def __init__(self) -> None:
        self._resting: set[asyncio.Transport] = set()
        self._end: asyncio.TimerHandle | None = None

    def rest(self, response: "aiohttp.ClientResponse") -> None:
        """Read no more of an answer until the turn ends."""
        transport = _transport(response)
        if transport is None:
            return
        transport.pause_reading()
        self._resting.add(transport)
        if self._end is None:
            loop = asyncio.get_running_loop()
            self._end = loop.call_at((loop.time() // TURN + 1) * TURN, self._next)

    def wake(self, response: "aiohttp.ClientResponse") -> None:
        """Read on now: nothing more is wanted of this answer, and its connection is to be found awake by the next."""
        transport = _transport(response)
        if transport in self._resting:
            self._resting.discard(transport)
            transport.resume_reading()

    def _next(self) -> None:
        self._end = None
        resting, self._resting = self._resting, set()
        for transport in resting:
            if not transport.is_closing():
                transport.resume_reading()


def turns() -> Turns:
    """Those of the running loop: the same for all answers, so that one wake-up serves many."""
    return _turns.setdefault(asyncio.get_running_loop(), Turns())


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()


def _transport(response: "aiohttp.ClientResponse") -> asyncio.Transport | None:
    connection = response.connection
    transport = None if connection is None else connection.transport
    return None if transport is None or transport.is_closing() else transport
