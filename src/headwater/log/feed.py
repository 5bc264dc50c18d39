"""A feed: entries in memory that readers in this process follow, each at its own position.

A reader holds a position, not a queue. So a slow reader costs no memory, and never slows the others or the producer.
"""

import copy
from collections.abc import AsyncGenerator, Callable, Sequence

from headwater.entries import Entry, Page
from headwater.log.bell import Bell

Take = Callable[[Sequence[Entry]], bool]
"""Offered a page by whatever adds it to a feed; returns whether it took the page. Takes no ending, and never raises.

A reader that waits for news is not woken for a page that its `take` takes, nor is the page yielded to it. Waking a task
costs an iteration of the event loop, which is more than everything else that is done for one token.
"""


class Feed:
    """A list of entries that only grows, and the bell that wakes its readers."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.done = False
        """Whether nothing will be added any more."""
        self.error: Exception | None = None
        """What readers raise after the last entry; each its own copy."""
        self.readers = 0
        self._page = Page()
        self._bell = Bell()
        self.wake = self._bell.ring_throttled
        """Wakes the readers after entries were added; a crowd no sooner than its size allows."""

    def wake_all(self) -> None:
        """Wake the readers at once, because the feed has changed in another way."""
        self._bell.ring()

    async def read(
        self, position: int, *, follow: bool = True, take: Take | None = None
    ) -> AsyncGenerator[Sequence[Entry], None]:
        """The entries from a position on, as they are added; without `follow`, those that are there now."""
        entries = self.entries

        def sleeps() -> bool:
            nonlocal position
            if take is None or position == len(entries) or not take(page := self._page_from(position)):
                return False
            position += len(page)
            return not self.done and self.error is None

        self.readers += 1
        self._bell.join()
        try:
            while True:
                if position < len(entries):
                    page = self._page_from(position)
                    position += len(page)
                    yield page
                elif self.error is not None:
                    raise copy.copy(self.error)
                elif self.done or not follow:
                    return
                else:
                    await self._bell.next(None if take is None else sleeps)
        finally:
            self._bell.leave()
            self.readers -= 1

    def _page_from(self, position: int) -> Sequence[Entry]:
        """The entries from a position on; one page for all readers there."""
        entries, page = self.entries, self._page
        if self.readers == 1:
            return entries[position:]  # nobody to share it with
        if not page or page[0] is not entries[position] or page[-1] is not entries[-1]:
            page = self._page = Page(entries[position:])
        return page
