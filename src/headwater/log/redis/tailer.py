"""Notices what others do to the logs in Redis, on behalf of everyone in this process, however many wait.

One connection is subscribed to the channels of the logs that somebody here waits for. What comes over it is a wake-up
and carries nothing, so one that is lost costs time and no more: every few seconds all the logs that are read here are
looked at together. That look also finds the logs whose lease has lapsed, and tells their writers elsewhere, for as long
as somebody reads here, that somebody does.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

from redis.asyncio.connection import AbstractConnection

from headwater.errors import StoreError
from headwater.log.lua.script import key
from headwater.log.lua.steps import Sight

LOOK = 2.5
"""Seconds between looks at what is read here, at most; a quarter of a lease where that is less."""
PING = 2.5
DEAF = 3 * PING
"""Seconds without a word, not even the answer to a ping, after which the connection is taken for dead."""
PAUSE = 0.05
PATIENCE = 5.0
"""Seconds for which Redis may be away before readers are told."""

Look = Callable[[Sequence[tuple[str, bool]]], Awaitable[Sequence[Sight | BaseException]]]

_log = logging.getLogger(__name__)


class Waiter:
    """A reader who waits for more of one log than it has seen."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._news = 0.0  # the sequence that was announced last; infinite for news that is no entry
        self._seen = 0
        self._failure: StoreError | None = None

    def begin(self) -> None:
        """Say that a look at the log begins: what was announced until now it will see."""
        self._news = 0.0
        self._failure = None

    async def wait(self, seen: int) -> None:
        """Wait until the log may have more than `seen` entries. Raises `StoreError` when nobody can tell any more."""
        self._seen = seen
        while self._news <= seen:
            if self._failure is not None:
                raise self._failure
            self._changed.clear()
            await self._changed.wait()

    def wake(self, news: float = math.inf) -> None:
        """Tell of an entry, or without a number of anything at all."""
        self._news = max(self._news, news)
        self._changed.set()

    def compare(self, sight: Sight) -> None:
        """Wake up if what was seen of the log is not what the reader saw last."""
        if not sight.open or sight.last != self._seen:
            self.wake()

    def fail(self, failure: StoreError) -> None:
        """End the wait with an error."""
        self._failure = failure
        self._changed.set()


class RedisTailer:
    """The readers and writers here to be woken, and two tasks: one listens to Redis, one looks. For one event loop.

    `connect` opens a connection to subscribe with; `look` says how some logs stand, or why that cannot be said of one.
    """

    def __init__(self, connect: Callable[[], Awaitable[AbstractConnection]], look: Look, lease: float) -> None:
        self.pace = min(LOOK, lease / 4)
        self.turn = 0  # rises with whatever is told to somebody here
        self._connect = connect
        self._look = look
        self._waiters: dict[str, list[Waiter]] = {}
        self._listeners: dict[str, list[Callable[[], None]]] = {}
        self._channels: dict[bytes, tuple[str, str]] = {}  # each log's that is wanted, with its kind
        self._heard: set[bytes] = set()  # the channels that Redis has confirmed on this connection
        self._wanted = asyncio.Event()  # the channels to be subscribed to have changed
        self._asked: set[str] = set()  # the logs here whose writer must learn at once how they stand
        self._ask = asyncio.Event()
        self._failing: dict[str, float] = {}  # since when a log that somebody waits for could not be looked at
        self._deaf = False
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    @contextmanager
    def waiter(self, log: str) -> Generator[Waiter, None, None]:
        """A place among those who wait for a log."""
        waiter = Waiter()
        try:
            yield waiter
        finally:
            self._leave(log, waiter)

    def join(self, log: str, waiter: Waiter) -> None:
        """Have the waiter woken from now on, and once at once: for what came while it was not."""
        if self._closed:
            waiter.fail(StoreError.closed())
            return
        waiting = self._waiters.setdefault(log, [])
        if waiter in waiting:
            return
        waiting.append(waiter)
        # Unless the subscription is still to be confirmed, which wakes everyone.
        if self._want("wake", log) in self._heard:
            waiter.wake()

    def listen(self, log: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called when the log is asked to stop or taken away; returns how to cease."""
        listeners = self._listeners.setdefault(log, [])
        listeners.append(wake)
        if self._want("stop", log) in self._heard:
            self._hurry(log)

        def cease() -> None:
            with suppress(ValueError):
                listeners.remove(wake)
            if not listeners and self._listeners.get(log) is listeners:
                del self._listeners[log]
                self._unwant("stop", log)

        return cease

    def wake(self, log: str) -> None:
        """Wake the log's writer if it is here."""
        for wake in list(self._listeners.get(log, ())):
            wake()

    async def aclose(self) -> None:
        """End the tasks and every wait. May be called again."""
        self._closed = True
        tasks, self._tasks = self._tasks, []
        await _end(*tasks)
        self._fail(StoreError.closed())

    def _want(self, kind: str, log: str) -> bytes:
        channel = key(kind, log)
        self._channels[channel] = (kind, log)
        self._wanted.set()
        if not self._tasks and not self._closed:
            self._tasks = [
                asyncio.create_task(self._keep_listening(), name="redis listens"),
                asyncio.create_task(self._keep_looking(), name="redis looks"),
            ]
        return channel

    def _unwant(self, kind: str, log: str) -> None:
        self._channels.pop(key(kind, log), None)
        self._wanted.set()

    def _leave(self, log: str, waiter: Waiter) -> None:
        waiting = self._waiters.get(log, [])
        if waiter in waiting:
            waiting.remove(waiter)
            if not waiting:
                del self._waiters[log]
                self._failing.pop(log, None)
                self._unwant("wake", log)

    def _hurry(self, log: str) -> None:
        self._asked.add(log)
        self._ask.set()

    def _fail(self, failure: StoreError) -> None:
        for waiter in [each for waiting in self._waiters.values() for each in waiting]:
            waiter.fail(failure)

    async def _keep_listening(self) -> None:
        pause = PAUSE
        while not self._closed:
            while not self._channels:
                self._wanted.clear()
                await self._wanted.wait()
            begin = time.monotonic()
            try:
                connection = await self._connect()
                try:
                    await self._converse(connection)
                finally:
                    self._heard.clear()
                    await connection.disconnect(nowait=True)
            except Exception as error:  # noqa: BLE001 - a task that died would make every wake-up late
                if not self._deaf:
                    _log.warning("Redis sends no wake-ups for the moment, so they come late: %s", error)
                self._deaf = True
                pause = PAUSE if time.monotonic() - begin > DEAF else min(pause * 2, LOOK)
                await asyncio.sleep(pause)

    async def _converse(self, connection: AbstractConnection) -> None:
        """Subscribe to what is wanted, as that changes, and listen, until nothing is wanted or the connection ends."""
        hearing = asyncio.create_task(self._hear(connection), name="redis hears")
        hearing.add_done_callback(lambda _: self._wanted.set())
        subscribed: set[bytes] = set()
        try:
            while not (hearing.done() or self._closed):
                self._wanted.clear()
                wanted = set(self._channels)
                if wanted - subscribed:
                    await connection.send_command("SUBSCRIBE", *(wanted - subscribed))
                if subscribed - wanted:
                    self._heard -= subscribed - wanted
                    await connection.send_command("UNSUBSCRIBE", *(subscribed - wanted))
                subscribed = wanted
                try:
                    async with asyncio.timeout(PING):
                        await self._wanted.wait()
                except TimeoutError:
                    if not wanted:
                        return
                    await connection.send_command("PING")
            if hearing.done():
                hearing.result()
        finally:
            await _end(hearing)

    async def _hear(self, connection: AbstractConnection) -> None:
        while True:
            message: list[Any] | None = cast("Any", await connection.read_response(timeout=DEAF))
            if message is None:
                raise StoreError(f"not a word for {DEAF:g} s")
            kind, channel = message[0], message[1]
            if channel not in self._channels:
                continue  # the answer to a ping, or what nobody here wants any more
            about, log = self._channels[channel]
            if kind == b"subscribe":
                self._heard.add(channel)
                self._deaf = False
                # Something may have been missed before.
                if about == "stop":
                    self._hurry(log)
                else:
                    self._announce(log, math.inf)
            elif kind == b"message":
                if about == "stop":
                    self.wake(log)
                else:
                    self._announce(log, float(message[2]) if message[2].isdigit() else math.inf)

    def _announce(self, log: str, news: float) -> None:
        self.turn += 1
        for waiter in self._waiters.get(log, ()):
            waiter.wake(news)

    async def _keep_looking(self) -> None:
        due = time.monotonic() + self.pace
        while not self._closed:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(due - time.monotonic(), 0)):
                    await self._ask.wait()
            self._ask.clear()
            asked, self._asked = self._asked, set()
            logs = {log: False for log in asked if log in self._listeners}
            if time.monotonic() >= due:
                logs |= dict.fromkeys(self._waiters, True)
                due = time.monotonic() + self.pace
            if logs:
                await self._look_at(logs, asked)

    async def _look_at(self, logs: dict[str, bool], asked: set[str]) -> None:
        try:
            sights = await self._look(list(logs.items()))
        except Exception as error:  # noqa: BLE001 - a task that died would strand readers
            sights = [error] * len(logs)
        self.turn += 1
        failure: BaseException | None = None
        for log, sight in zip(logs, sights, strict=True):
            if isinstance(sight, BaseException):
                self._asked |= {log} & asked
                failure = sight if self._has_failed(log, sight) else failure
                continue
            self._failing.pop(log, None)
            for waiter in self._waiters.get(log, ()):
                waiter.compare(sight)
            if log in asked and (sight.stop or not sight.open):
                self.wake(log)
        if failure is not None:
            _log.warning("logs that are written elsewhere cannot be followed: %s", failure)

    def _has_failed(self, log: str, error: BaseException) -> bool:
        """Tell who waits for a log that could not be looked at, once patience is over; whether it is."""
        waiting = self._waiters.get(log)
        if not waiting or time.monotonic() - self._failing.setdefault(log, time.monotonic()) <= PATIENCE:
            return False
        for waiter in waiting:
            # An exception for each, since each will hang its own traceback on it.
            waiter.fail(type(error)(*error.args) if isinstance(error, StoreError) else StoreError(str(error)))
        return True


async def _end(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks until they have ended: `asyncio.wait_for`, which the library uses, can swallow it before 3.12."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.1)
    await asyncio.gather(*tasks, return_exceptions=True)
