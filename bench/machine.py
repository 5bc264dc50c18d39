"""What the figures were measured on, and with: the machine, and the version of everything in the table."""

import contextlib
import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench import proxies

PACKAGES = ("uvicorn", "uvloop", "aiohttp", "fastapi", "langchain-openai")


def machine() -> dict[str, str | int]:
    """The machine alone."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 0,
        "RAM": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "python": sys.version.split()[0],
        "os": os.uname().release,
    }


def versions() -> dict[str, str]:
    """Headwater's own commit, and whatever stands beside it."""
    found = {"headwater": _commit()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    found["LiteLLM"] = proxies.LITELLM.rpartition("==")[2]
    nginx = proxies.nginx_path()
    if nginx is not None:
        found["nginx"] = _told(nginx, "-v").rpartition("/")[2]
    redis = proxies.redis_path()
    found[Path(redis).name] = next((word[2:] for word in _told(redis, "--version").split() if word[:2] == "v="), "?")
    return found


def _cpu() -> str:
    with contextlib.suppress(OSError):
        lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
        about = {name.strip(): value.strip() for name, _, value in reversed(lines)}  # of the first core
        if "model name" in about:
            # A cloud machine often says no more of its model than the maker's name; the numbers tell which it is.
            which = ", ".join(f"{name} {about[name]}" for name in ("cpu family", "model", "stepping") if name in about)
            return f"{about['model name']} ({which})"
    return os.uname().machine


def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return version("headwater")
    here = str(Path(__file__).parent)
    commit = _told(git, "-C", here, "rev-parse", "--short", "HEAD")
    changed = _told(git, "-C", here, "status", "--porcelain", "--untracked-files=no", "--", ":/src")
    return f"{commit or version('headwater')}{' and changes' if changed else ''}"


def _told(*command: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return "" if done.returncode else done.stdout.strip()
