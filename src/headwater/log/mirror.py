"""A mirror: a live log that another process writes, followed once for all of its readers in this process.

However many read the log here, the store is asked once for each piece of news, and each page is encoded once, as it is
beside the writer.
"""

import asyncio
import logging
from bisect import bisect_right
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from headwater.entries import Entry
from headwater.errors import HeadwaterError, StoreError
from headwater.log.feed import Feed
from headwater.log.store import Store
from headwater.offsets import Offset

logger = logging.getLogger(__name__)


class Mirror:
    """The entries of a log after `begin`, pulled from the store by one task. `aclose` ends the task."""

    def __init__(self, store: Store, log: str, begin: Offset) -> None:
        self.begin = begin
        self.feed = Feed()
        """What it has shown; done when it shows nothing new any more, because it has failed or the log has ended."""
        self._store = store
        self._log = log
        self._pull = asyncio.create_task(self._run(), name=f"mirror {log}")

    def read(self, after: Offset) -> AsyncGenerator[Sequence[Entry], None]:
        """Every entry after `after`, which is not before `begin`, until the ending. Raises what the store raises.

        A reader that is ahead of the mirror gets what lies between, too.
        """
        return self.feed.read(bisect_right(self.feed.entries, after, key=lambda entry: entry.offset))

    async def aclose(self) -> None:
        """Stop pulling. Readers that are left end where they are."""
        self._pull.cancel()
        await asyncio.wait({self._pull})

    async def _run(self) -> None:
        feed = self.feed
        try:
            async with aclosing(self._store.read(self._log, self.begin)) as pages:
                async for page in pages:
                    feed.entries.extend(page)
                    feed.wake()
        except HeadwaterError as error:
            feed.error = error
        except Exception as error:
            logger.exception("following %s broke", self._log)
            feed.error = StoreError(f"following the log failed: {error!r}")
        finally:
            feed.done = True
            feed.wake_all()
