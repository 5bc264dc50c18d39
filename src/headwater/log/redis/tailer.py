"""Wakes the readers and writers in this process when other processes change logs in Redis.

Theory of operation:

- Messages are hints. An append publishes its last sequence on the log's `wake` channel, a stop something on its `stop`
  channel. A message carries no data: who is woken looks at the log itself. So a message that is lost, doubled or late
  costs time and never an entry.
- Looks are the truth. Every `pace` seconds one script looks at all logs that are followed here. It finds what messages
  missed, seals logs whose lease has lapsed, and renews the `readers` mark without which appends publish nothing.
- A reader follows in this order: look at the log, `follow`, `wait`. News between its look and the subscription is not
  published to it. Therefore `follow` wakes it once when the channel is subscribed already, and the confirmation of the
  subscription wakes it otherwise; it looks again, and misses nothing.
- A writer that begins to listen may have been asked to stop before, or may be read elsewhere. Its log is looked at as
  soon as its channel is confirmed, which is the *urgent* set, and again at each regular look until that succeeds.
- Two tasks share this state on one event loop: one receives messages (`subscription.py`), one looks. Neither may die
  of an error, because readers would hang: failures are counted for each log, and followers hear of theirs when it has
  lasted for `unreachable_after` seconds.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from redis.asyncio.connection import AbstractConnection

from headwater.errors import StoreError
from headwater.log.lua.script import key
from headwater.log.lua.steps import Sight
from headwater.log.redis.subscription import Subscription, end
from headwater.log.redis.times import RedisTimes
from headwater.log.watchers import Waiter, Watchers

Look = Callable[[Sequence[tuple[str, bool]]], Awaitable[Sequence[Sight | BaseException]]]
"""Looks at logs, each with whether it is followed; returns for each how it stands, or why that is not known."""

_log = logging.getLogger(__name__)


class RedisTailer:
    """The followers and listeners of logs in Redis. For one event loop; starts two tasks when it is first needed.

    `connect` opens a connection to subscribe with; `look` looks at logs. `lease` is in seconds.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[AbstractConnection]], look: Look, lease: float, times: RedisTimes
    ) -> None:
        self.pace = min(times.look_every, lease / 4)
        """Seconds between two looks."""
        self._look = look
        self._unreachable_after = times.unreachable_after
        self._watchers: Watchers[Waiter] = Watchers()
        self._subscription = Subscription(connect, times.look_every)
        self._urgent: set[str] = set()  # written here, and their writers must learn at once how they stand
        self._look_now = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    @contextmanager
    def waiter(self, log: str) -> Generator[Waiter, None, None]:
        """A waiter for a log, which follows it from its first `follow` until the context ends."""
        waiter = Waiter()
        try:
            yield waiter
        finally:
            if self._watchers.leave(log, waiter):
                self._subscription.remove(key("wake", log))

    def follow(self, log: str, waiter: Waiter) -> None:
        """Have a waiter woken from now on; may be called again. The first time it is woken once at any rate."""
        if self._closed:
            waiter.fail(StoreError.closed())
        elif self._watchers.follow(log, waiter):
            self._start()
            if self._subscription.add(key("wake", log), partial(self._heard_of_entries, log)):
                waiter.wake()

    def listen(self, log: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called when the log is asked to stop or taken away; returns what ends that."""
        channel = key("stop", log)
        cease = self._watchers.listen(log, wake, lambda: self._subscription.remove(channel))
        self._start()
        if self._subscription.add(channel, partial(self._heard_of_stop, log)):
            self._heard_of_stop(log, None)
        return cease

    def wake_writer(self, log: str) -> None:
        """Wake the log's writer if it is here."""
        self._watchers.wake_writer(log)

    async def aclose(self) -> None:
        """End the tasks and every wait. May be called again."""
        self._closed = True
        self._subscription.close()
        tasks, self._tasks = self._tasks, []
        await end(*tasks)
        self._watchers.fail(StoreError.closed(), list(self._watchers.followers))

    def _start(self) -> None:
        if not self._tasks and not self._closed:
            self._tasks = [
                asyncio.create_task(self._subscription.run(), name="redis subscription"),
                asyncio.create_task(self._keep_looking(), name="redis looks"),
            ]

    def _heard_of_entries(self, log: str, message: bytes | None) -> None:
        news = float(message) if message is not None and message.isdigit() else math.inf
        for waiter in self._watchers.followers.get(log, ()):
            waiter.wake(news)

    def _heard_of_stop(self, log: str, message: bytes | None) -> None:
        if message is None:
            self._urgent.add(log)  # the stop may have come before the subscription
            self._look_now.set()
        else:
            self.wake_writer(log)

    async def _keep_looking(self) -> None:
        due = time.monotonic() + self.pace
        while not self._closed:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(due - time.monotonic(), 0)):
                    await self._look_now.wait()
            self._look_now.clear()
            urgent, self._urgent = self._urgent, set()
            logs = {log: False for log in urgent if log in self._watchers.listeners}
            if time.monotonic() >= due:
                logs |= dict.fromkeys(self._watchers.followers, True)
                due = time.monotonic() + self.pace
            if logs:
                await self._look_at(logs, urgent)

    async def _look_at(self, logs: dict[str, bool], urgent: set[str]) -> None:
        try:
            sights = await self._look(list(logs.items()))
        except Exception as error:  # noqa: BLE001 - if this task died, readers would hang
            sights = [error] * len(logs)
        failure: StoreError | None = None
        for log, sight in zip(logs, sights, strict=True):
            if isinstance(sight, BaseException):
                error = sight if isinstance(sight, StoreError) else StoreError(str(sight))
                self._urgent |= {log} & urgent
                failure = error if self._watchers.failed(log, error, self._unreachable_after) else failure
                continue
            self._watchers.succeeded(log)
            for waiter in self._watchers.followers.get(log, ()):
                if not sight.open or sight.last != waiter.seen:
                    waiter.wake()
            if log in urgent and (sight.stop or sight.read or not sight.open):
                self.wake_writer(log)
        if failure is not None:
            _log.warning("logs that other processes write cannot be followed: %s", failure)
