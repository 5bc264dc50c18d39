"""Retries: how often and how soon."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from headwater.client.failures import Unreachable
from headwater.errors import HeadwaterError, ShuttingDown

Result = TypeVar("Result")

Notice = Callable[[str, float], None]
"""Called before each retry with the reason and the seconds until the retry."""


class Patience(NamedTuple):
    """Limits of a client's retries and waits; times in seconds."""

    attempts: int = 8
    """Consecutive failures after which reading an answer gives up. Every new event resets the count."""
    requests: int = 3
    """The same for any other request; fewer, because its caller has seen nothing yet."""
    pause: float = 1.0
    """Back-off before the first retry, unless the server sends `retry:` or `Retry-After`. It doubles each time."""
    longest: float = 30.0
    """Upper limit of the back-off. A server whose `Retry-After` is longer is not retried."""
    silence: float = 30.0
    """Silence after which a connection counts as dead. The server sends a heartbeat every 10 s."""
    connect: float = 10.0


class Persistence(NamedTuple):
    """How a client persists, and who is told of its retries."""

    patience: Patience
    notice: Notice | None = None

    async def request(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Make an idempotent request, with retries while the server is unreachable or shuts down."""
        attempts = Attempts(self, self.patience.requests)
        while True:
            try:
                return await call()
            except (Unreachable, ShuttingDown) as failure:
                await attempts.after(failure)


class Attempts:
    """Counts consecutive failures, at most `limit`, and waits before each retry."""

    def __init__(self, persistence: Persistence, limit: int) -> None:
        self.retry: float | None = None
        """The server's last `retry:` in seconds; None if it sent none."""
        self._patience, self._notice = persistence
        self._limit = limit
        self._failures = 0

    def progress(self) -> None:
        """Reset the count of failures, because an event arrived."""
        self._failures = 0

    async def after(self, failure: HeadwaterError) -> None:
        """Wait until the next retry. Raises the failure if no attempt is left or the server asks for too long."""
        self._failures += 1
        wanted = failure.retry_after
        if self._failures > self._limit or (wanted is not None and wanted > self._patience.longest):
            raise failure
        base = self._patience.pause if self.retry is None else self.retry
        pause = min(base * 2 ** (self._failures - 1), self._patience.longest)
        # Jitter, so that the clients of a restarted server do not all reconnect at the same instant.
        pause = max(pause * random.uniform(0.5, 1.0), wanted or 0.0)  # noqa: S311 - not for security
        if self._notice is not None:
            self._notice(str(failure), pause)
        await asyncio.sleep(pause)
