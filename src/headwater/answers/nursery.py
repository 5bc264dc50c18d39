"""Owns the producers: they outlive the requests that started them, and end with the server, not before."""

import asyncio
import logging
from collections.abc import Coroutine

log = logging.getLogger(__name__)


class Nursery:
    """Keeps a reference to every producer, reports those that break, and ends them all when the server goes down."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, name: str, producer: Coroutine[None, None, None]) -> None:
        """Run a producer as a task of its own, which no client's disconnect and no request's cancellation reaches."""
        task = asyncio.create_task(producer, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def __len__(self) -> int:
        return len(self._tasks)

    async def finished(self, within: float) -> bool:
        """Wait, `within` seconds at most, for every producer to end by itself; whether they all have."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within)
        return not self._tasks

    async def aclose(self, patience: float = 10.0) -> None:
        """Cancel every producer and wait, `patience` seconds at most, until each has ended its log."""
        await asyncio.sleep(0)  # one that is cancelled before its first step would never come to end its log
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=patience)
            for task in late:
                log.error("producer %s did not end within %g s; its log will be found lost", task.get_name(), patience)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("producer %s broke", task.get_name(), exc_info=error)
