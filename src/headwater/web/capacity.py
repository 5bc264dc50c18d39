"""The limit on open files: a stream that would not fit is refused with a reason, never reset.

A stream needs two files, the client's connection and the provider's. Part of the files is reserved for the store, the
log, and connections that start nothing, such as health checks, stops and refused requests.
"""

import os
import sys

from headwater.errors import HeadwaterError

RESERVED = 100
"""Files of a process that no stream uses."""


class ServerFull(HeadwaterError):
    """This process has no open files left for another stream."""

    code = "server_full"
    status = 503
    retryable = True
    retry_after = 1.0


class OpenFiles:
    """Tells whether this process may open more files, of which it should have `most` open."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._unchecked = 0

    def fit(self, expected: int = 0) -> bool:
        """Whether another connection fits, which may open one more; `expected` files are to be opened anyway."""
        if self._unchecked <= 0:
            left = self._most - _open_files() - expected
            if left < 1:
                return False
            self._unchecked = left // 4  # so that two files for each of these leave half
        self._unchecked -= 1
        return True


class Capacity:
    """The streams of a process whose limit on open files is `files`; without one, nothing is refused.

    Used as a context manager around the claim of an answer: its connection to the provider is opened afterwards.
    """

    def __init__(self, files: int | None = None) -> None:
        self._files = None if files is None else OpenFiles(files - _reserved(files))
        self._claiming = 0

    def check(self) -> None:
        """Return if another stream fits. Raises `ServerFull`."""
        if self._files is not None and not self._files.fit(self._claiming):
            raise ServerFull("this server has no open files left for another stream; ask again in a moment")

    def __enter__(self) -> None:
        self.check()
        self._claiming += 1

    def __exit__(self, *_: object) -> None:
        self._claiming -= 1


def streams(files: int) -> int:
    """The number of streams that a process with so many open files can serve, about: a rush may take a few more."""
    return (files - _reserved(files)) // 2


def connections(files: int) -> OpenFiles:
    """The limit on connections: some of the reserved files are for them, the rest is for the store and the log."""
    return OpenFiles(files - _reserved(files) // 2)


def _reserved(files: int) -> int:
    return min(RESERVED, files // 2)


def _open_files() -> int:
    """The number of open files of this process. Takes 3 µs from Linux 6.2 on; elsewhere 1 µs for each file."""
    try:
        counted = os.stat("/proc/self/fd").st_size if sys.platform == "linux" else 0
        return counted or len(os.listdir("/dev/fd"))
    except OSError:  # to list them takes a file
        return sys.maxsize
