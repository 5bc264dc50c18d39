"""The owner of tasks that outlive the requests that started them, producers above all, and end with the server."""

import asyncio
import logging
from collections.abc import Coroutine

logger = logging.getLogger(__name__)


class Nursery:
    """Keeps a reference to every task, logs those that fail, and cancels them all at the shutdown.

    `kind` is what the tasks are named after, with the name of their log.
    """

    def __init__(self, kind: str = "generation") -> None:
        self._kind = kind
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, log: str, producer: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run a log's producer as a task of its own, out of reach of any client's disconnect or cancellation."""
        task = self._tasks[log] = asyncio.create_task(producer, name=f"{self._kind} {log}")
        task.add_done_callback(lambda done: self._done(log, done))
        return task

    def has(self, log: str) -> bool:
        """Whether this log's producer runs here."""
        return log in self._tasks

    def __len__(self) -> int:
        return len(self._tasks)

    async def finished(self, within: float) -> bool:
        """Wait, `within` seconds at most, for every producer to end by itself; whether they all have."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=within)
        return not self._tasks

    async def aclose(self, patience: float = 10.0) -> None:
        """Cancel every producer and wait, `patience` seconds at most, until each has ended its log."""
        await asyncio.sleep(0)  # a task that is cancelled before its first step could not end its log
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=patience)
            for task in late:
                logger.error(
                    "producer %s did not end within %g s; its log will be found lost", task.get_name(), patience
                )

    def _done(self, log: str, task: asyncio.Task[None]) -> None:
        del self._tasks[log]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s broke", task.get_name(), exc_info=error)
