"""A connection that knows when its path has come to lead to another file.

Somebody deletes the store beneath a running server, or puts another one in its place. SQLite goes on with the files it
has open: the process would go on alone, on a file that nobody else can see.
"""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from headwater.log.sqlite.lock import FileLock

Identity = tuple[int, int]

_BESIDE = ("-wal", "-shm")


class StoreConnection(sqlite3.Connection):
    """A connection to the store's file. Call `identify` once it is open, and before anybody else uses it."""

    def identify(self, path: Path) -> None:
        """Note which files are in use."""
        self._path = path
        self._file = identity(path)
        self._beside = {each: identity(each) for each in map(path.with_name, (path.name + end for end in _BESIDE))}

    @property
    def moved(self) -> bool:
        """Whether the path leads to another file, or to none."""
        return identity(self._path) != self._file

    def abandon(self) -> None:
        """Close it because its file was moved, and delete the files beside it, which would spoil the next one's data.

        SQLite itself leaves them alone then. Those that somebody has made for the next file are others, and stay.
        """
        self.close()
        lock = FileLock(self._path)
        with suppress(OSError), lock:
            for path, known in self._beside.items():
                if known is not None and identity(path) == known:
                    path.unlink()
        lock.close()


def identity(path: Path) -> Identity | None:
    """The device and the inode of the file at a path; None without one."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def create(path: Path) -> None:
    """Create the store's file, if it is missing, readable by its owner only. Raises `OSError`.

    Created here because SQLite would make it readable for everyone; the -wal and -shm files get the same mode. Those of
    a file that was deleted would spoil the new one's data, so they are deleted first; the lock is for that.
    """
    if path.exists():
        return  # not opened: closing it would drop every POSIX lock that SQLite holds on it in this process
    lock = FileLock(path)
    try:
        with lock:
            if not path.exists():
                for end in _BESIDE:
                    path.with_name(path.name + end).unlink(missing_ok=True)
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    finally:
        lock.close()
