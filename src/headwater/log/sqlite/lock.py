"""A fair lock between the processes that write one SQLite file: `flock` on a file beside it.

SQLite's own lock is not fair. A process that finds it taken sleeps for up to 100 ms between two tries, while the holder
takes it again at once: under load one process writes and the others starve. The kernel wakes the waiters of `flock` as
soon as it is free, and frees it when its holder dies.
"""

import os
from pathlib import Path
from types import TracebackType

try:
    import fcntl
except ImportError:  # Windows, where only SQLite's own lock remains
    fcntl = None


class FileLock:
    """Held by at most one `FileLock` of a path at a time, in all processes. Use each in one thread.

    A context waits without a limit: it is for a thread that does nothing else, and whose callers have limits of their
    own. A process that is stopped in mid-transaction holds SQLite's lock as well, so there is nothing to be had sooner.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}-lock")
        self._file: int | None = None

    def __enter__(self) -> None:
        if fcntl is not None:
            fcntl.flock(self._opened(), fcntl.LOCK_EX)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def take(self) -> bool:
        """Take the lock if that is possible now, without waiting; `release` gives it back."""
        if fcntl is None:
            return True
        try:
            fcntl.flock(self._opened(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # taken; or its file cannot be opened, on a disk that has become read-only
            return False
        return True

    def release(self) -> None:
        """Let the next one have it."""
        if fcntl is not None and self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file, which also gives the lock back; a later use opens it again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _opened(self) -> int:
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        return self._file
