"""A Redis pub/sub connection of this process, subscribed to the channels that are wanted at the moment.

It connects when the first channel is wanted, reconnects with a back-off when the connection breaks, and pings a silent
server, so that a connection which died without a word is noticed. What a broken connection missed is lost: handlers
hear of every new confirmation, and must then look for what came before it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from redis.asyncio.connection import AbstractConnection

from headwater.errors import StoreError

PING_EVERY = 2.5
"""Seconds between pings, while anything is subscribed to."""
SILENT_AFTER = 3 * PING_EVERY
"""Seconds without any reply, not even to a ping, after which a connection counts as dead."""
BACK_OFF = 0.05
"""Seconds before the first attempt to reconnect; each further one waits twice as long."""

Handler = Callable[[bytes | None], None]
"""Called with the data of each message, and with None when Redis has confirmed the subscription."""

_log = logging.getLogger(__name__)


class Subscription:
    """The channels wanted in this process, and the handler of each. For one event loop.

    `connect` opens a connection; `longest_back_off` is in seconds. `run` does the work, in a task of the owner's.
    """

    def __init__(self, connect: Callable[[], Awaitable[AbstractConnection]], longest_back_off: float) -> None:
        self._connect = connect
        self._longest_back_off = longest_back_off
        self._handlers: dict[bytes, Handler] = {}
        self._confirmed: set[bytes] = set()  # on the present connection
        self._changed = asyncio.Event()  # the wanted channels have changed, or the connection has ended
        self._warned = False
        self._closed = False

    def add(self, channel: bytes, handler: Handler) -> bool:
        """Subscribe to a channel; returns whether its subscription is confirmed already."""
        self._handlers[channel] = handler
        self._changed.set()
        return channel in self._confirmed

    def remove(self, channel: bytes) -> None:
        """Unsubscribe from a channel."""
        self._handlers.pop(channel, None)
        self._changed.set()

    def close(self) -> None:
        """Have `run` return, also when the cancellation of its task gets lost; see `end`."""
        self._closed = True

    async def run(self) -> None:
        """Stay connected while any channel is wanted, until closed or cancelled."""
        pause = BACK_OFF
        while not self._closed:
            while not self._handlers:
                self._changed.clear()
                await self._changed.wait()
            begin = time.monotonic()
            try:
                connection = await self._connect()
                try:
                    await self._converse(connection)
                finally:
                    self._confirmed.clear()
                    await connection.disconnect(nowait=True)
            except Exception as error:  # noqa: BLE001 - if this task died, every wake-up would be late
                if not self._warned:
                    _log.warning("Redis sends no wake-ups for the moment, so they come late: %s", error)
                self._warned = True
                pause = BACK_OFF if time.monotonic() - begin > SILENT_AFTER else min(2 * pause, self._longest_back_off)
                await asyncio.sleep(pause)

    async def _converse(self, connection: AbstractConnection) -> None:
        """Follow the wanted channels and handle messages, until none is wanted or the connection ends."""
        receiving = asyncio.create_task(self._receive(connection), name="redis messages")
        receiving.add_done_callback(lambda _: self._changed.set())
        subscribed: set[bytes] = set()
        try:
            while not (receiving.done() or self._closed):
                self._changed.clear()
                wanted = set(self._handlers)
                if wanted - subscribed:
                    await connection.send_command("SUBSCRIBE", *(wanted - subscribed))
                if subscribed - wanted:
                    self._confirmed -= subscribed - wanted
                    await connection.send_command("UNSUBSCRIBE", *(subscribed - wanted))
                subscribed = wanted
                try:
                    async with asyncio.timeout(PING_EVERY):
                        await self._changed.wait()
                except TimeoutError:
                    if not wanted:
                        return
                    await connection.send_command("PING")
            if receiving.done():
                receiving.result()
        finally:
            await end(receiving)

    async def _receive(self, connection: AbstractConnection) -> None:
        while True:
            reply: list[Any] | None = cast("Any", await connection.read_response(timeout=SILENT_AFTER))
            if reply is None:
                raise StoreError(f"no reply for {SILENT_AFTER:g} s")
            kind, channel = reply[0], reply[1]
            handler = self._handlers.get(channel)
            if handler is None:
                continue  # the reply to a ping, or a channel that is not wanted any more
            if kind == b"subscribe":
                self._confirmed.add(channel)
                self._warned = False
                handler(None)
            elif kind == b"message":
                handler(reply[2])


async def end(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks until they have ended: before Python 3.12 redis-py, by `asyncio.wait_for`, can swallow one."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.1)
    await asyncio.gather(*tasks, return_exceptions=True)
