"""The key file: JSON with the hashes of the keys that `headwater keys` made. Re-read when it changes."""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from headwater.access.keys import Key, Keyring
from headwater.errors import HeadwaterError

logger = logging.getLogger(__name__)

LOOK = 0.5
"""Seconds between two looks at the file, which a request makes: a revoked key is refused within a second."""


class KeyFileFailed(HeadwaterError):
    """The key file cannot be read or written, or is no key file."""

    code = "settings"


class _Content(msgspec.Struct):
    keys: list[Key]


class KeyFile:
    """Reads and writes the file. Writers in several processes must take turns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def seen(self) -> tuple[int, ...] | None:
        """What to compare in order to notice a change; None if there is no file, or none that `read` can read."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def read(self) -> list[Key]:
        """The keys; none if there is no file. Raises `KeyFileFailed`."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=_Content).keys
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._failed("read", error) from error
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise KeyFileFailed(f"the key file {self.path} is damaged ({error}); restore it or move it away") from error

    def write(self, keys: Sequence[Key]) -> None:
        """Replace the content, in one step. Raises `KeyFileFailed`."""
        new = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            owner = (self.path if self.path.exists() else self.path.parent).stat()
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(_Content(list(keys)))) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(PermissionError):
                os.chown(new, owner.st_uid, owner.st_gid)  # root makes keys for a server that runs as another user
            new.replace(self.path)
        except OSError as error:
            new.unlink(missing_ok=True)
            raise self._failed("written", error) from error

    def _failed(self, what: str, error: OSError) -> KeyFileFailed:
        return KeyFileFailed(f"the key file {self.path} cannot be {what}: {error.strerror}")


class Keys:
    """The keys that are valid now: those of the settings, and those of the file as it stands.

    `required` says whether a request needs a key; it becomes true with the first key file, and never false again, so
    that a server whose last key was revoked is closed and not open. Raises `KeyFileFailed`.
    """

    def __init__(
        self,
        fixed: Sequence[Key],
        file: KeyFile,
        *,
        required: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fixed = fixed
        self._file = file
        self._clock = clock
        self._seen: tuple[int, ...] | None = ()
        self._failed = ""
        self._required = required or bool(fixed)
        self._look_at = clock() + LOOK
        self._look()

    @property
    def required(self) -> bool:
        """Whether a request needs a key."""
        self.current()
        return self._required

    def current(self) -> Keyring:
        """The valid keys. While a changed file cannot be read, those of before stay valid, and the log says so."""
        now = self._clock()
        if now >= self._look_at:
            self._look_at = now + LOOK
            before, self._failed = self._failed, ""
            try:
                self._look()
            except KeyFileFailed as error:
                self._failed = str(error)
                if self._failed != before:
                    logger.error("%s; the keys of before stay valid", error)
        return self._ring

    def _look(self) -> None:
        seen = self._file.seen()
        if seen == self._seen:
            return
        # Also when it cannot be read: whoever made it meant to close the server.
        self._required = self._required or seen is not None
        self._ring = Keyring([*self._fixed, *self._file.read()])
        self._seen = seen  # not before, so that what could not be read is read again
