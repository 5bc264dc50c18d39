"""The processes that write logs of one SQLite file, so that others on the machine notice at once when one is killed.

Each process holds `flock` on a file of its own beside the store, and the logs that it writes name it. The kernel frees
the lock when the process ends, however it ends. A process that is only stopped keeps it: then the lease decides, as it
does where there is no `flock`.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from headwater.log.sqlite.connection import Identity, identity

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class Owners:
    """This process's file, and a look at those of others. `hold` belongs to one thread, `is_dead` to any."""

    def __init__(self, store: Path) -> None:
        self.id = secrets.randbits(31) + 1
        """This process's number, by which logs name it; each `Owners` has one of its own."""
        self._folder, self._prefix = store.parent, f"{store.name}-owner-"
        self._path = self._of(self.id)
        self._file: int | None = None
        self._held: Identity | None = None

    def hold(self) -> int:
        """This process's number, once its lock is held; 0 where that is impossible. Makes a lost file again."""
        if self._held is None or identity(self._path) != self._held:
            self._release()
            with suppress(OSError):
                self._take()
        return self.id if self._held else 0

    def is_dead(self, owner: int) -> bool:
        """Whether a process has ended, whose file is then deleted. False if that cannot be known."""
        if fcntl is None:
            return False
        path = self._of(owner)
        try:
            file = os.open(path, os.O_RDONLY)
        except OSError as error:
            return isinstance(error, FileNotFoundError)
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared, so that two that look do not deceive each other
        except OSError:  # it lives, or there are no locks here
            return False
        finally:
            os.close(file)
        with suppress(OSError):
            path.unlink()
        return True

    def close(self) -> None:
        """Give up the lock and delete the file; logs that are still open have lost their writer."""
        if self._held is not None and identity(self._path) == self._held:
            with suppress(OSError):
                self._path.unlink()
        self._release()

    def _of(self, owner: int) -> Path:
        return self._folder / f"{self._prefix}{owner}"

    def _take(self) -> None:
        """Make the file and lock it. Others may delete it in between, because it looks dead; then it is not held."""
        if fcntl is None:
            return
        for each in self._folder.iterdir():
            owner = each.name.removeprefix(self._prefix)
            if owner != each.name and owner.isdecimal():
                self.is_dead(int(owner))
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(self._file)
        if identity(self._path) == (found.st_dev, found.st_ino):
            self._held = identity(self._path)

    def _release(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file = self._held = None
