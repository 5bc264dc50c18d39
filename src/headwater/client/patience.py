"""How often and how soon a client tries again."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from headwater.client.failures import Unreachable
from headwater.errors import HeadwaterError, ShuttingDown

Result = TypeVar("Result")

Notice = Callable[[str, float], None]
"""Called before each new attempt with the reason, and the seconds until then."""


class Patience(NamedTuple):
    """How long a client bears with a server; times in seconds."""

    attempts: int = 8
    """Failures in a row after which the reading of an answer is given up; every new event starts the count again."""
    requests: int = 3
    """Failures in a row after which any other request is: somebody waits for it who has seen nothing yet."""
    pause: float = 1.0
    """Before the second attempt, unless the server says otherwise (`retry:`, `Retry-After`); it doubles from there."""
    longest: float = 30.0
    """No pause is longer, and a server that asks for a longer one is not tried again."""
    silence: float = 30.0
    """A connection without a byte for so long is dead: the server sends a heartbeat every 10."""
    connect: float = 10.0


class Attempts:
    """Counts failures in a row, and waits before each new attempt."""

    def __init__(self, patience: Patience, limit: int, notice: Notice | None = None) -> None:
        self.retry: float | None = None
        """Seconds that the server wants between attempts, when it said so."""
        self._patience = patience
        self._limit = limit
        self._notice = notice
        self._failures = 0

    def progress(self) -> None:
        """Something came: earlier failures do not count any more."""
        self._failures = 0

    async def after(self, failure: HeadwaterError) -> None:
        """Wait until it is time to try again. Raises the failure when that is no use any more."""
        self._failures += 1
        asked = failure.retry_after
        if self._failures > self._limit or (asked is not None and asked > self._patience.longest):
            raise failure
        base = self._patience.pause if self.retry is None else self.retry
        pause = min(base * 2 ** (self._failures - 1), self._patience.longest)
        # Jitter, so that the clients of a server that went down do not all come back in the same instant.
        pause = max(pause * random.uniform(0.5, 1.0), asked or 0.0)  # noqa: S311 - spreads clients, hides nothing
        if self._notice is not None:
            self._notice(str(failure), pause)
        await asyncio.sleep(pause)

    async def persist(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Make a request that may be repeated, again while no server takes it. Raises what it raises."""
        while True:
            try:
                return await call()
            except (Unreachable, ShuttingDown) as failure:
                await self.after(failure)
