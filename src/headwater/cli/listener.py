"""Accepts connections while this process has open files left for them; the others wait in the kernel's queue.

The event loop's own server accepts whatever comes, and closes it when the limit on open files is reached: the client's
connection is reset. Here a client waits for a moment, or gets a refusal with a reason.
"""

import asyncio
import logging
import socket
from collections.abc import Callable

from headwater.web.capacity import OpenFiles

logger = logging.getLogger(__name__)

PAUSE = 0.25
"""Seconds for which nothing is accepted when no more connections fit."""


class Listener:
    """Accepts from one socket as an `asyncio.Server` does; uvicorn closes it at shutdown."""

    def __init__(self, listening: socket.socket, protocol: Callable[[], asyncio.Protocol], files: OpenFiles) -> None:
        self._listening = listening
        self._protocol = protocol
        self._files = files
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[object]] = set()
        self._paused: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        self._resume()

    def close(self) -> None:
        """Accept no more connections; those that are open stay open."""
        self._loop.remove_reader(self._listening)
        if self._paused is not None:
            self._paused.cancel()

    async def wait_closed(self) -> None:
        """Wait for the connections that have been accepted and are not open yet."""
        if self._opening:
            await asyncio.wait(self._opening)

    def _resume(self) -> None:
        self._paused = None
        self._loop.add_reader(self._listening, self._accept)

    def _pause(self) -> None:
        self._loop.remove_reader(self._listening)
        self._paused = self._loop.call_later(PAUSE, self._resume)

    def _accept(self) -> None:
        # One in each iteration of the event loop: in a rush, the first requests are answered while others still wait,
        # and other workers get their share.
        if not self._files.fit():
            self._pause()
            return
        try:
            accepted, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker has accepted it, or the client has left
        except OSError as error:
            logger.warning("cannot accept connections for a moment: %s", error)
            self._pause()
            return
        opening = self._loop.create_task(self._loop.connect_accepted_socket(self._protocol, accepted))
        self._opening.add(opening)  # the event loop keeps only weak references to its tasks
        opening.add_done_callback(self._opening.discard)
