"""The logs as this process sees them: one store, and the writers that are alive here.

A reader of a log that is written here is served from the writer's memory; any other, and the rest of that one once its
writer has gone, from the store. The reader cannot tell, because both speak in offsets.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from headwater.events import Ending, Entry
from headwater.log.store import Description, Lease, Store
from headwater.log.writer import Writer
from headwater.offsets import ORIGIN, Offset


class Logs:
    """Reads, stops and describes logs wherever they are written, and opens the writers of those written here."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._writers: dict[str, Writer] = {}

    @asynccontextmanager
    async def write(self, lease: Lease) -> AsyncGenerator[Writer, None]:
        """The writer of a log, known to this process's readers while the context lasts."""
        async with Writer(self.store, lease) as writer:
            self._writers[lease.log] = writer
            try:
                yield writer
            finally:
                del self._writers[lease.log]

    def writes(self, log: str) -> bool:
        """Whether the log's writer is in this process."""
        return log in self._writers

    async def read(
        self, log: str, after: Offset = ORIGIN, *, follow: bool = True
    ) -> AsyncGenerator[Sequence[Entry], None]:
        """Every entry after `after`, old then new, until the ending; without `follow`, until what there is now.

        Raises `NoSuchLog`, `Expired` or `StoreError`.
        """
        writer = self._writers.get(log)
        if writer is not None:
            async for page in writer.read(after, follow=follow):
                yield page
                after = page[-1].offset
                if isinstance(page[-1].event, Ending):
                    return
            if writer.unkept is not None:
                yield [writer.unkept]
                return
            if not follow:
                return
        async for page in self.store.read(log, after, follow=follow):
            yield page

    async def state(self, log: str) -> Description:
        """What is known of a log. Raises `NoSuchLog` or `Expired`."""
        return await self.store.describe(log)
