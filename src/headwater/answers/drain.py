"""The drain of a server: one signal that it takes no new work, and the callbacks that wait for it."""

from collections.abc import Callable


class Drain:
    """A one-time signal with callbacks. Not an `asyncio.Event`: an open response should not cost a task."""

    def __init__(self) -> None:
        self.begun = False
        self._calls: set[Callable[[], object]] = set()

    def begin(self) -> None:
        """Give the signal; only the first call has an effect."""
        self.begun = True
        calls, self._calls = self._calls, set()
        for call in calls:
            call()

    def then(self, call: Callable[[], object]) -> Callable[[], None]:
        """Have `call` called when the drain begins, at once if it has begun; returns how to unregister."""
        if self.begun:
            call()
        else:
            self._calls.add(call)
        return lambda: self._calls.discard(call)
