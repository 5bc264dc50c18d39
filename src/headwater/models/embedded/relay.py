"""A bounded queue from a worker thread to an event loop."""

import asyncio
import threading
from concurrent.futures import CancelledError, Future
from typing import Generic, TypeVar

Piece = TypeVar("Piece")


class Relay(Generic[Piece]):
    """Carries the pieces of one answer to the event loop that created the relay.

    `bound` pieces may wait at a time: a reader that falls further behind delays its own answer only.
    """

    def __init__(self, bound: int = 256) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Piece | BaseException | None] = asyncio.Queue()
        self._room = threading.Semaphore(bound)
        self._stopped = False

    def put(self, piece: Piece) -> bool:
        """Hand over a piece; True means stop. Raises nothing, because llama.cpp would swallow it."""
        while not (self._stopped or self._room.acquire(timeout=0.1)):
            if self._loop.is_closed():
                return True
        return self._stopped or not self._send(piece)

    def end(self, work: "Future[None]") -> None:
        """Hand over the end of the work, or its exception; outside the bound, so that it always arrives."""
        try:
            self._send(work.exception())
        except CancelledError:
            self._send(None)

    async def get(self) -> Piece | None:
        """The next piece, or None at the end. Raises the exception that ended the work."""
        piece = await self._queue.get()
        if isinstance(piece, BaseException):
            raise piece
        self._room.release()
        return piece

    def stop(self) -> None:
        """Make the next `put` return True."""
        self._stopped = True

    def _send(self, piece: Piece | BaseException | None) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, piece)
        except RuntimeError:  # the loop is closed
            return False
        return True
