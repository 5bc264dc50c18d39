"""The machine that was measured on, and the version of every server that was measured."""

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
    """CPU, memory, operating system and Python."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 0,
        "RAM": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "python": sys.version.split()[0],
        "os": os.uname().release,
    }


def versions() -> dict[str, str]:
    """Headwater's commit, and the versions of packages and servers."""
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
            # Cloud machines often report only the maker as the model name; family, model and stepping identify the CPU.
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
