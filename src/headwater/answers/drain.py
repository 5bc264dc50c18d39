"""The end of a server's readiness: said once, heard by everybody who asked."""

from collections.abc import Callable


class Drain:
    """Tells that this server takes no new work. Callbacks, not an event: an open response should not cost a task."""

    def __init__(self) -> None:
        self.begun = False
        self._calls: set[Callable[[], None]] = set()

    def begin(self) -> None:
        """Say it; a second time says nothing new."""
        self.begun = True
        calls, self._calls = self._calls, set()
        for call in calls:
            call()

    def then(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have `call` called when it begins, at once if it has; returns how to cease."""
        if self.begun:
            call()
        else:
            self._calls.add(call)
        return lambda: self._calls.discard(call)
