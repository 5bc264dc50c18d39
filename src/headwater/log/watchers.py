"""Who in this process waits for news of logs: the registry that every store's tailer keeps.

A *follower* is a reader that waits for more of a log. A *listener* is the callback that wakes a log's writer when a
stop was requested or the log was taken away. A tailer finds out in its store's own way what has changed, and tells the
registry whom to wake or to fail. The registry does no I/O and starts nothing. It belongs to one event loop.
"""

import asyncio
import copy
import math
import time
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar


class Follower(Protocol):
    """One reader's wait for more of a log."""

    def fail(self, error: Exception) -> None:
        """End the wait with this error."""
        ...


F = TypeVar("F", bound=Follower)


class Waiter:
    """A follower that is woken to look for itself.

    It calls `begin`, looks at the log, and calls `wait`, which returns at once for news that came in between.
    """

    def __init__(self) -> None:
        self.seen = 0
        """The last sequence the reader saw before it began to wait."""
        self._changed = asyncio.Event()
        self._news = 0.0  # the highest sequence announced; infinite for news that is no entry
        self._error: Exception | None = None

    def begin(self) -> None:
        """Forget the news so far, because the look that begins now will see it."""
        self._news = 0.0
        self._error = None

    async def wait(self, seen: int = 0) -> None:
        """Wait until the log may have more than `seen` entries. Raises what the wait was failed with."""
        self.seen = seen
        while self._news <= seen:
            if self._error is not None:
                raise self._error
            self._changed.clear()
            await self._changed.wait()

    def wake(self, news: float = math.inf) -> None:
        """Announce an entry by its sequence, or by default a change of any kind."""
        self._news = max(self._news, news)
        self._changed.set()

    def fail(self, error: Exception) -> None:
        """End the wait with this error."""
        self._error = error
        self._changed.set()


class Watchers(Generic[F]):
    """The followers and the listeners of each log. `clock` counts seconds, for how long a log has been failing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.followers: dict[str, set[F]] = {}
        self.listeners: dict[str, list[Callable[[], None]]] = {}
        self._clock = clock
        self._failing: dict[str, float] = {}  # followed logs that could not be looked at, and since when

    def follow(self, log: str, follower: F) -> bool:
        """Register a follower; returns whether it was not registered yet."""
        followers = self.followers.setdefault(log, set())
        known = follower in followers
        followers.add(follower)
        return not known

    def leave(self, log: str, follower: F) -> bool:
        """Unregister a follower, if it is registered; returns whether it was the last one of its log."""
        followers = self.followers.get(log, set())
        if follower not in followers:
            return False
        followers.remove(follower)
        if followers:
            return False
        del self.followers[log]
        self._failing.pop(log, None)
        return True

    def listen(self, log: str, wake: Callable[[], None], deserted: Callable[[], object]) -> Callable[[], None]:
        """Register a listener; returns what unregisters it. `deserted` is called when the last of a log has gone."""
        listeners = self.listeners.setdefault(log, [])
        listeners.append(wake)

        def cease() -> None:
            if wake not in listeners:
                return  # ceased before
            listeners.remove(wake)
            if not listeners:
                del self.listeners[log]
                deserted()

        return cease

    def wake_writer(self, log: str) -> None:
        """Call the log's listeners."""
        for wake in list(self.listeners.get(log, ())):
            wake()

    def fail(self, error: Exception, logs: Iterable[str]) -> None:
        """End the waits of all followers of these logs, each with a copy of the error.

        Each reader raises its own exception, because raising one adds the reader's traceback to it.
        """
        for log in logs:
            for follower in list(self.followers.get(log, ())):
                follower.fail(copy.copy(error))

    def failed(self, log: str, error: Exception, unreachable_after: float) -> bool:
        """Note that a log could not be looked at; fail its followers once that has lasted so many seconds.

        Returns whether it did. A log that nobody follows has nobody to lose patience.
        """
        if log not in self.followers:
            return False
        since = self._failing.setdefault(log, self._clock())
        if self._clock() - since < unreachable_after:
            return False
        self.fail(error, [log])
        return True

    def succeeded(self, log: str) -> None:
        """Note that a log could be looked at."""
        self._failing.pop(log, None)
